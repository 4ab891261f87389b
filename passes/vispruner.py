"""VisPruner: half of the budget to what [CLS] attends to, half to what is left once duplicates are gone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..ir.layout import Layout
from ..ir.op import Op
from ..ir.polynomial import CONTEXT, ROWS, TOKENS, Polynomial
from ..ir.signal import Need, cls_row
from .base import Compression, Pass, Tokens, register
from .primitives.costs import attention_row_op, top_k_op
from .primitives.merge import gather
from .primitives.select import ranked

if TYPE_CHECKING:
    import torch


@register
@dataclass(frozen=True)
class VisPruner(Pass):
    """Important tokens by [CLS] attention, diverse ones by removing duplicates in rounds (arXiv:2412.01818).

    The `important` share of K has the highest [CLS] attention. The others, ordered by attention, undergo rounds as in
    the public code: every second token is compared with the tokens between, the `per_round` most similar are removed,
    and those that stay move before the others in order of similarity, until the diverse quota remains. Published on
    features before the projector; at its output projected features are compared. An odd number of tokens, which the
    public code cannot split, puts one more in the first half.
    """

    name = "vispruner"
    source = "arXiv:2412.01818"
    summary = "keep the tokens with most [CLS] attention, and of the rest what is no duplicate"
    mechanism = "mixed"
    modalities = ("image", "video")
    sites = ("projector.output",)
    consumes = ("feature", "attention")
    catalog_id = "vispruner"

    important: float = 0.5
    per_round: int = 8
    layer: int | None = None

    def needs(self, layout: Layout) -> tuple[Need, ...]:
        """The [CLS] row of the encoder layer."""
        return (cls_row(self.layer),)

    def ops(self, layout: Layout, width: int) -> tuple[Op, ...]:
        """One thin row, then (N - K) / per_round rounds, each comparing two halves of what is left."""
        cubes = Polynomial({(1, 3, 0): 4, (1, 2, 1): -6, (1, 1, 2): 3, (1, 0, 3): -1})
        share = max(1, round(width / (24 * self.per_round)))
        launches = max(1, round(9 / self.per_round)) * (TOKENS + -1 * CONTEXT) + 4
        rounds = Op(
            "rounds", "gemm", flops=share * cubes + ROWS, elements=3 * width * ROWS, launches=launches, inner=width
        )
        return attention_row_op(width), top_k_op(), rounds

    def compress(self, tokens: Tokens, target: Layout) -> Compression:
        """Important and diverse tokens in order of position."""
        import torch
        from torch.nn.functional import normalize

        order = ranked(tokens.signal(cls_row(self.layer)))
        important = int(target.count * self.important)
        diverse = target.count - important
        unit = normalize(tokens.features.float(), dim=-1)
        rest = order[:, important:]
        while diverse and rest.shape[1] > diverse:
            rest = self._round(unit, rest, diverse)
        kept = torch.cat([order[:, :important], rest[:, :diverse]], dim=1)
        return Compression(kept.sort(dim=-1).values)

    def _round(self, unit: torch.Tensor, rest: torch.Tensor, quota: int) -> torch.Tensor:
        """One round: `rest` (B, R) without the most duplicated tokens of its first half."""
        import torch

        first, second = rest[:, ::2], rest[:, 1::2]
        removed = min(self.per_round, rest.shape[1] - quota, first.shape[1])
        similar = (gather(unit, first) @ gather(unit, second).mT).amax(dim=-1)
        return torch.cat([first.gather(1, ranked(similar)[:, removed:]), second], dim=1)
