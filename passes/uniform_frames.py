"""Uniform frame selection: frames spread evenly over the clip, before anything is encoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..ir.layout import Layout
from ..ir.op import Op
from .base import register
from .input_pass import FramePass
from .primitives.select import evenly_spaced
from .score import top_k_ops

if TYPE_CHECKING:
    import torch


@register
@dataclass(frozen=True)
class UniformFrames(FramePass):
    """Keep frames spread evenly over the clip, blind to content: the centres of K equal shares of its time."""

    name = "uniform-frames"
    source = "baseline"
    summary = "encode frames spread evenly over the clip"

    def ops(self, layout: Layout, width: int) -> tuple[Op, ...]:
        """The indices depend on shapes alone."""
        return top_k_ops()

    def frames(self, clip: torch.Tensor, count: int) -> torch.Tensor:
        """The same frames for every clip."""
        import torch

        kept = torch.tensor(evenly_spaced(clip.shape[1], count), device=clip.device)
        return kept.expand(clip.shape[0], count)
