"""FasterVLM: [CLS] attention says which patches matter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..ir.layout import Layout
from ..ir.op import Op
from ..ir.signal import Need, cls_row
from .base import Tokens, register
from .primitives.costs import attention_row_op
from .score import ScorePass

if TYPE_CHECKING:
    import torch


@register
@dataclass(frozen=True)
class FasterVLM(ScorePass):
    """Keep the patches that [CLS] attends to most (arXiv:2412.01818, section 3).

    The score is the softmax row of [CLS] in one encoder layer, averaged over the heads. The public code reads the layer
    whose output the projector takes; `layer` chooses another, counted as `hidden_states` are (-2 is the last but one).
    """

    name = "fastervlm"
    source = "arXiv:2412.01818"
    summary = "keep the patches that [CLS] attends to most"
    mechanism = "attention"
    modalities = ("image",)
    sites = ("projector.output",)
    consumes = ("attention",)
    catalog_id = "fastervlm"

    layer: int | None = None

    def needs(self, layout: Layout) -> tuple[Need, ...]:
        """The [CLS] row of the encoder layer."""
        return (cls_row(self.layer),)

    def score_ops(self, layout: Layout, width: int) -> tuple[Op, ...]:
        """One thin attention row."""
        return (attention_row_op(width),)

    def score(self, tokens: Tokens) -> torch.Tensor:
        """The attention that [CLS] pays to each patch, (B, N)."""
        return tokens.signal(cls_row(self.layer))
