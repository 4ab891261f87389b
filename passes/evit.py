"""EViT: what [CLS] attends to stays, and the rest becomes one token."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ..ir.layout import Layout
from ..ir.op import Op
from ..ir.signal import Need, latest_cls_row
from .base import Compression, Pass, Tokens, register
from .primitives.costs import attention_row_op, merge_op, top_k_op
from .primitives.merge import gather
from .primitives.select import ranked

if TYPE_CHECKING:
    import torch


@register
@dataclass(frozen=True)
class EViT(Pass):
    """Keep by the attention of [CLS], between attention and MLP; fuse the others (arXiv:2202.07800, section 3.2).

    The score is the softmax row of [CLS] in the layer's own attention, averaged over the heads. With `fuse` the tokens
    that are not kept are added up, each times its score (equation 4; not normalised, as in the public code).

    Exact count: the paper keeps K tokens and one fused one more; here the fused token is one of the K, at the place of
    the most attended of those that it stands for. At K = 1 the most attended token stays alone. Published with
    fine-tuning, and runs without.
    """

    name = "evit"
    source = "arXiv:2202.07800"
    summary = "keep what [CLS] attends to inside the encoder, fuse the rest into one token"
    mechanism = "attention"
    modalities = ("image",)
    sites = ("encoder.layer.mid",)
    consumes = ("attention",)
    catalog_id = "evit"
    training = "both"

    fuse: bool = True

    def needs(self, layout: Layout) -> tuple[Need, ...]:
        """The [CLS] row of the attention that has just run."""
        return (latest_cls_row(),)

    def ops(self, layout: Layout, width: int) -> tuple[Op, ...]:
        """One thin attention row, a ranking and the fused token."""
        return attention_row_op(width), top_k_op(), *((merge_op(width),) if self.fuse else ())

    def compress(self, tokens: Tokens, target: Layout) -> Compression:
        """The most attended tokens, the last of which stands for all others."""
        row = tokens.signal(latest_cls_row())
        order = ranked(row)
        index = order[:, : target.count].sort(dim=-1).values
        if not self.fuse or target.count in (1, tokens.layout.count):
            return Compression(index)
        import torch

        kept, fused = order[:, : target.count - 1], order[:, target.count - 1, None]
        place = (index == fused).to(torch.uint8).argmax(dim=-1, keepdim=True)
        own = torch.arange(target.count, device=index.device).expand_as(index)
        assign = place.expand_as(row).scatter(1, index, own)
        share = row.scatter(1, kept, 0.0)
        return Compression(index, assign, combine=partial(_fused, index=index, place=place, share=share))


def _fused(features: torch.Tensor, *, index: torch.Tensor, place: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """The kept features (B, K, D), with the sum of all `features` times `share` (B, N) at `place` (B, 1)."""
    total = (share[:, None] @ features.float()).to(features.dtype)
    return gather(features, index).scatter(1, place[..., None].expand_as(total), total)
