"""VisionZip: the tokens that dominate the attention, and a few that sum up the rest."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from ..common.errors import BadInput
from ..ir.layout import Layout
from ..ir.op import Op
from ..ir.polynomial import BATCH, CONTEXT, TOKENS
from ..ir.signal import Need, cls_row, encoder_key, received
from .base import Compression, Pass, Tokens, register
from .primitives.costs import attention_column_op, attention_row_op, merge_op, similarity_op, top_k_op
from .primitives.merge import anchored, gather, places
from .primitives.select import complement, top_k

if TYPE_CHECKING:
    import torch


@register
@dataclass(frozen=True)
class VisionZip(Pass):
    """Dominant tokens by attention, contextual tokens by merging (arXiv:2412.04467; the public code).

    Dominant: the patches that [CLS] attends to most. Of the rest every (M // C)-th is an anchor; each other token joins
    the anchor whose head-mean key is most similar, and an anchor goes on as itself plus the mean of what joined it (a
    sum of two, as in the public code). Both signals are of the layer whose output the projector takes. The published
    counts 54 + 10, 108 + 20 and 162 + 30 are `contextual` = 0.15625; there [CLS] itself goes on too, which here the
    model decides. `reads` says whose attention: `cls`, or for towers without [CLS] `mean`, that received from all
    queries; `auto` is `cls` where the tower has the token, else `mean`. Published before the projector: at its output
    the same rule sums projected features.
    """

    name = "visionzip"
    source = "arXiv:2412.04467"
    summary = "keep the tokens with most attention, merge the rest into a few by their keys"
    mechanism = "mixed"
    modalities = ("image", "video")
    sites = ("projector.output",)
    consumes = ("feature", "attention")
    catalog_id = "visionzip"

    contextual: float = 0.15625
    reads: str = "auto"
    layer: int | None = None

    def needs(self, layout: Layout) -> tuple[Need, ...]:
        """The attention row or column, and the keys, of one encoder layer."""
        return self._attention(), encoder_key(self.layer)

    def ops(self, layout: Layout, width: int) -> tuple[Op, ...]:
        """The row, similarities of N tokens with the contextual share of K anchors, and the merge."""
        row = attention_column_op(width) if self.reads == "mean" else attention_row_op(width)
        return row, top_k_op(), similarity_op(64, pairs=BATCH * TOKENS * CONTEXT), merge_op(width)

    def compress(self, tokens: Tokens, target: Layout) -> Compression:
        """Dominant and contextual tokens in order of position."""
        import torch

        contextual = math.floor(self.contextual * target.count + 0.5)
        total = tokens.layout.count
        attention, keys = tokens.signal(self._attention()), tokens.signal(encoder_key(self.layer))
        dominant = top_k(attention, target.count - contextual)
        if contextual == 0:
            return Compression(dominant)
        rest = complement(dominant, total)
        step = rest.shape[1] // contextual
        anchors = rest[:, : step * contextual : step]
        nearest = _nearest_anchor(gather(keys, rest), step, contextual)
        index = torch.cat([dominant, anchors], dim=1).sort(dim=-1).values
        place = places(index, total)
        joined = place.gather(1, anchors).gather(1, nearest)
        assign = place.scatter(1, rest, joined).scatter(1, index, places(index, total).gather(1, index))
        return Compression(index, assign, combine=partial(anchored, index=index, assign=assign))

    def suited(self, has_class_token: Callable[[], bool]) -> tuple[Mapping[str, Any], str]:
        """`reads: mean` where nothing was said and the encoder has no [CLS] token."""
        if self.reads != "auto" or has_class_token():
            return {}, ""
        return {"reads": "mean"}, "the encoder has no [CLS] token, so the attention received from all tokens is read"

    def _attention(self) -> Need:
        if self.reads not in ("auto", "cls", "mean"):
            raise BadInput(f"parameter reads of visionzip is {self.reads!r}; it must be auto, cls or mean")
        return received("encoder", self.layer) if self.reads == "mean" else cls_row(self.layer)


def _nearest_anchor(keys: torch.Tensor, step: int, count: int) -> torch.Tensor:
    """For each token the number of the most similar anchor, by the cosine of head-mean keys (B, M, heads, width)."""
    from torch.nn.functional import normalize

    unit = normalize(keys.float().mean(dim=2), dim=-1)
    return (unit @ unit[:, : step * count : step].mT).argmax(dim=-1)
