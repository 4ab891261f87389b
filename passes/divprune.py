"""DivPrune: the subset whose members are farthest apart."""

from __future__ import annotations

from dataclasses import dataclass

from ..ir.layout import Layout
from ..ir.op import Op
from ..ir.polynomial import BATCH, CONTEXT, ROWS, TOKENS
from ..kernels.max_min import max_min
from .base import EVERYWHERE, Compression, Pass, Tokens, register


@register
@dataclass(frozen=True)
class DivPrune(Pass):
    """Greedy max-min diversity under cosine distance (arXiv:2503.02175, section 3 and its algorithm 1).

    The first token is the one whose nearest other token is farthest; each next one maximises its distance to the
    nearest token already kept.
    """

    name = "divprune"
    source = "arXiv:2503.02175"
    summary = "keep the subset whose members are farthest apart"
    mechanism = "similarity"
    sites = EVERYWHERE
    consumes = ("feature",)
    catalog_id = "divprune"

    def ops(self, layout: Layout, width: int) -> tuple[Op, ...]:
        """All cosine similarities once, then three small launches for every token that is kept."""
        pairs = BATCH * TOKENS * TOKENS
        similarity = Op("similarity", "gemm", flops=2 * width * pairs, elements=2 * width * ROWS + pairs, inner=width)
        update = Op("greedy", "reduction", flops=2 * ROWS * CONTEXT, elements=3 * ROWS * CONTEXT, launches=4 * CONTEXT)
        return (similarity, update)

    def compress(self, tokens: Tokens, target: Layout) -> Compression:
        """The greedy subset, in order of position."""
        return Compression(max_min(tokens.features, target.count).sort(dim=-1).values)
