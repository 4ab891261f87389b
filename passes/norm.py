"""Token norm: the cheapest score that looks at content."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..ir.layout import Layout
from ..ir.op import Op
from .base import EVERYWHERE, Tokens, register
from .primitives.costs import row_ops
from .score import ScorePass

if TYPE_CHECKING:
    import torch


@register
@dataclass(frozen=True)
class Norm(ScorePass):
    """Keep the tokens with the largest L2 norm, or with `smallest` those with the smallest.

    A baseline: published methods use the norm of hidden states or keys with either sign as one factor of their score.
    """

    name = "norm"
    source = "baseline"
    summary = "keep the tokens with the largest L2 norm"
    mechanism = "similarity"
    sites = EVERYWHERE
    consumes = ("feature",)

    smallest: bool = False

    def score_ops(self, layout: Layout, width: int) -> tuple[Op, ...]:
        """One pass over the features."""
        return (row_ops("norm", width, launches=2),)

    def score(self, tokens: Tokens) -> torch.Tensor:
        """The norm with its sign, (B, N)."""
        norm: torch.Tensor = tokens.features.float().norm(dim=-1)
        return -norm if self.smallest else norm
