"""PyramidKV: SnapKV's choice with budgets that fall from the first layer to the last."""

from __future__ import annotations

from dataclasses import dataclass

from ..ir.layout import kept_count
from .base import register
from .snapkv import SnapKV


@register
@dataclass(frozen=True)
class PyramidKV(SnapKV):
    """Layer budgets on a straight line from shallow to deep, equal in total (arXiv:2406.02069, section 4.2).

    With the mean budget K of `keep`, the last layer keeps K / `beta` and the first 2 K - K / `beta`; where the first
    would exceed the N entries it keeps N and the last 2 K - N, as in the public code. Rounding is mirrored, so that the
    layers keep exactly `depth` times K together. With scope `all` the window is part of each layer's budget.
    """

    name = "pyramidkv"
    source = "arXiv:2406.02069"
    summary = "snapkv with layer budgets that fall linearly with depth"
    catalog_id = "pyramidkv"

    beta: int = 20

    def layer_count(self, tokens: int, keep: float, *, layer: int, depth: int) -> int:
        """The layer's place on the line.

        Example:
            >>> [PyramidKV(beta=4).layer_count(100, 0.2, layer=layer, depth=5) for layer in range(5)]
            [35, 28, 20, 12, 5]
        """
        mean = kept_count(tokens, keep)
        if depth == 1 or 2 * layer == depth - 1:
            return mean
        if 2 * layer > depth - 1:
            return 2 * mean - self.layer_count(tokens, keep, layer=depth - 1 - layer, depth=depth)
        least = max(min(1, mean), mean // self.beta, 2 * mean - tokens)
        step = (mean - least) * (depth - 1 - 2 * layer) / (depth - 1)
        return mean + int(step + 0.5)
