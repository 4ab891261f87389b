"""The base of every pass that scores tokens and drops the lowest: such a method is one `score` function."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from ..ir.layout import Layout
from ..ir.op import Op
from .base import Compression, Pass, Tokens
from .primitives.costs import top_k_op
from .primitives.select import top_k

if TYPE_CHECKING:
    import torch


class ScorePass(Pass):
    """Keep the K tokens with the highest score, in their order."""

    @abstractmethod
    def score(self, tokens: Tokens) -> torch.Tensor:
        """One score for each token, (B, N), higher is kept; equal scores keep the earlier token."""

    def score_ops(self, layout: Layout, width: int) -> tuple[Op, ...]:
        """The cost of `score` alone."""
        return ()

    def ops(self, layout: Layout, width: int) -> tuple[Op, ...]:
        """The cost of `score`, then of selecting the highest and sorting their indices."""
        return (*self.score_ops(layout, width), *top_k_ops())

    def compress(self, tokens: Tokens, target: Layout) -> Compression:
        """Top-K of `score`."""
        return Compression(top_k(self.score(tokens), target.count))


def top_k_ops() -> tuple[Op, ...]:
    """Ranking N scores and sorting the K indices that are kept."""
    return (top_k_op(),)
