"""Top-K audio tokens by the attention that they receive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..ir.layout import Layout
from ..ir.op import Op
from ..ir.signal import Need, received
from .base import Tokens, register
from .primitives.costs import attention_column_op
from .score import ScorePass

if TYPE_CHECKING:
    import torch


@register
@dataclass(frozen=True)
class TopKAudioMean(ScorePass):
    """Keep the tokens that all tokens attend to most (arXiv:2504.01690, the form without a class token).

    The score is the attention received in one encoder layer, averaged over heads and queries. A named variant: the
    paper prunes inside several blocks of a spectrogram transformer that is tuned for it; here the tokens that leave
    the encoder are ranked once.
    """

    name = "topk-audio-mean"
    source = "arXiv:2504.01690"
    summary = "keep the sound tokens that receive most attention in the encoder"
    mechanism = "attention"
    modalities = ("audio",)
    sites = ("projector.output",)
    consumes = ("attention",)
    catalog_id = "topk-audio"
    training = "both"

    layer: int | None = None

    def needs(self, layout: Layout) -> tuple[Need, ...]:
        """The attention received in the encoder layer."""
        return (received("encoder", self.layer),)

    def score_ops(self, layout: Layout, width: int) -> tuple[Op, ...]:
        """The attention of all queries, summed up."""
        return (attention_column_op(width),)

    def score(self, tokens: Tokens) -> torch.Tensor:
        """The attention received, (B, N)."""
        return tokens.signal(received("encoder", self.layer))
