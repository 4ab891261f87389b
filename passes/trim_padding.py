"""Trimming of sounds: the quietest stretches, padding before all others, are not encoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..ir.layout import Layout
from ..ir.op import Op
from .base import Tokens, register
from .input_pass import InputPass
from .primitives.costs import row_ops
from .score import ScorePass

if TYPE_CHECKING:
    import torch


@register
@dataclass(frozen=True)
class TrimPadding(InputPass, ScorePass):
    """Keep the loudest stretches of a sound: what is padding or silence goes before it is encoded.

    A stretch is what becomes one token of the decoder (of the encoder's output in Whisper); its loudness is the mean of
    its log-mel spectrum, which is lowest where the processor padded. The exact-count form of a silence threshold: the
    threshold is the one that leaves K stretches. What is kept keeps its position in the window.
    """

    name = "trim-padding"
    source = "baseline"
    summary = "leave out the quietest stretches of a sound"
    mechanism = "transformation"
    modalities = ("audio",)
    consumes = ("feature", "temporal")
    change = "sound"

    def score_ops(self, layout: Layout, width: int) -> tuple[Op, ...]:
        """A mean over the spectrum of each stretch."""
        return (row_ops("loudness", width, launches=2),)

    def score(self, tokens: Tokens) -> torch.Tensor:
        """The mean of the log spectrum behind each token, (B, N)."""
        return tokens.features.float().mean(dim=-1)
