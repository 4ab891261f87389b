"""PruMerge+: attention outliers and evenly strided tokens, each collecting its neighbours."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ..ir.layout import Layout
from ..ir.op import Op
from ..ir.polynomial import BATCH, CONTEXT
from ..ir.signal import Need, cls_row, encoder_key
from .adaptive import AdaptivePass
from .base import Compression, Tokens, register
from .primitives.costs import attention_row_op, row_ops, similarity_op, top_k_op
from .primitives.merge import gather, mixed, places
from .primitives.select import complement, top_k

if TYPE_CHECKING:
    import torch


@register
@dataclass(frozen=True)
class PruMergePlus(AdaptivePass):
    """Outliers of [CLS] attention plus a stride, merged with their neighbours (arXiv:2403.15388).

    Merging is that of the public code: a kept token adds to itself its `neighbours` nearest others by key cosine, kept
    ones too, each times its [CLS] attention (not normalised); one more token is the attention-weighted sum of all
    pruned ones and stands at the place of the last of them. Attention and keys are of one encoder layer, the last by
    default, with all heads as one wide head.

    Exact count: the paper keeps the n outliers above Q3 + 1.5 IQR and strides of about 3 n more tokens, so here a
    quarter of K - 1 has the highest attention (`outliers`) and the rest is strided over the tokens that remain. At
    K = 1 the most attended token stays without the sum of the others. `adaptive` is the public code: the n outliers,
    every (N // n) // 3-th of the first N - 1 tokens, and the sum; where none is an outlier, on which the public code
    fails, the most attended token is. Published before the projector: at its output the same rule sums projected
    features.
    """

    name = "prumerge-plus"
    source = "arXiv:2403.15388"
    summary = "keep attention outliers and a stride, each with its neighbours added"
    mechanism = "mixed"
    modalities = ("image",)
    sites = ("projector.output",)
    consumes = ("feature", "attention")
    catalog_id = "prumerge-plus"

    outliers: float = 0.25
    neighbours: int = 32
    layer: int = -1

    def needs(self, layout: Layout) -> tuple[Need, ...]:
        """The [CLS] row over all heads as one, and the keys, of one encoder layer."""
        return cls_row(self.layer, joint=True), encoder_key(self.layer)

    def ops(self, layout: Layout, width: int) -> tuple[Op, ...]:
        """The row, similarities of N keys with K of them, and `neighbours` additions for each of the K."""
        added = self.neighbours * width * BATCH * CONTEXT
        neighbours = Op("neighbours", "gather", flops=2 * added, elements=2 * added)
        return attention_row_op(width), top_k_op(), similarity_op(width), neighbours, row_ops("residual", width)

    def compress(self, tokens: Tokens, target: Layout) -> Compression:
        """Kept tokens with their neighbours added, and the sum of the pruned ones."""
        import torch

        total, attention = tokens.layout.count, tokens.signal(cls_row(self.layer, joint=True))
        keys = tokens.signal(encoder_key(self.layer)).float().flatten(2)
        if target.count == total:
            return Compression(torch.arange(total, device=attention.device).expand(len(attention), -1))
        kept = self._kept(attention, max(1, target.count - 1))
        return self._collected(attention, keys, kept, residual=target.count > 1)

    def published(self, tokens: Tokens) -> Compression:
        """The outliers and the stride that follows from their number, with their neighbours, and the sum."""
        attention = tokens.signal(cls_row(self.layer, joint=True))
        keys = tokens.signal(encoder_key(self.layer)).float().flatten(2)
        kept = _outliers_and_stride(attention[0])
        return self._collected(attention, keys, kept, residual=kept.shape[1] < attention.shape[1])

    def _collected(
        self, attention: torch.Tensor, keys: torch.Tensor, kept: torch.Tensor, *, residual: bool
    ) -> Compression:
        """Tokens `kept` (B, K) with their neighbours added, and with `residual` the sum of all others."""
        import torch

        total = attention.shape[1]
        weight = _neighbourhoods(attention, keys, kept, self.neighbours)
        if not residual:
            return Compression(kept, places(kept, total), combine=partial(mixed, weight=weight))
        pruned = complement(kept, total)
        others = torch.zeros_like(attention).scatter(1, pruned, attention.gather(1, pruned))
        index, order = torch.cat([kept, pruned[:, -1:]], dim=1).sort(dim=-1)
        weight = gather(torch.cat([weight, others[:, None]], dim=1), order)
        assign = places(index, total)
        assign = assign.scatter(1, pruned, assign.gather(1, pruned[:, -1:]).expand_as(pruned))
        return Compression(index, assign, combine=partial(mixed, weight=weight))

    def _kept(self, attention: torch.Tensor, count: int) -> torch.Tensor:
        """The most attended `outliers` share of `count`, and the others at an even stride over what remains."""
        import torch

        highest = top_k(attention, math.floor(self.outliers * count + 0.5))
        rest = complement(highest, attention.shape[1])
        strided = count - highest.shape[1]
        stride = [i * rest.shape[1] // strided for i in range(strided)]
        return torch.cat([highest, rest[:, stride]], dim=1).sort(dim=-1).values


def _outliers_and_stride(attention: torch.Tensor) -> torch.Tensor:
    """(1, K) int64, sorted: the n tokens of (N,) attention above Q3 + 1.5 IQR, and every (N // n) // 3-th of N - 1."""
    import torch

    total = len(attention)
    low, high = torch.quantile(attention, torch.tensor([0.25, 0.75], device=attention.device))
    chosen = attention > high + 1.5 * (high - low)
    chosen[attention.argmax()] = True  # an outlier, if there is any
    stride = max(1, total // int(chosen.sum()) // 3)
    chosen[: total - 1 : stride] = True
    kept: torch.Tensor = chosen.nonzero().T
    return kept


def _neighbourhoods(attention: torch.Tensor, keys: torch.Tensor, kept: torch.Tensor, number: int) -> torch.Tensor:
    """What each kept token (B, K) takes of all: 1 of itself, of its nearest others their attention; (B, K, N)."""
    import torch
    from torch.nn.functional import normalize

    unit = normalize(keys, dim=-1)
    similar = (gather(unit, kept) @ unit.mT).scatter(2, kept[..., None], float("-inf"))
    nearest = similar.topk(min(number, keys.shape[1] - 1), dim=-1).indices
    weight = torch.zeros_like(similar).scatter(2, nearest, 1.0) * attention[:, None]
    return weight.scatter(2, kept[..., None], 1.0)
