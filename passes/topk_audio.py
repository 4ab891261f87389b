"""Top-K audio tokens inside the encoder, by the attention that they receive in the layer just run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..ir.layout import Layout
from ..ir.op import Op
from ..ir.signal import Need, latest_received
from .base import Tokens, register
from .primitives.costs import attention_column_op
from .score import ScorePass

if TYPE_CHECKING:
    import torch


@register
@dataclass(frozen=True)
class TopKAudio(ScorePass):
    """Keep the tokens that all tokens attend to most, inside the encoder (arXiv:2504.01690).

    The form for encoders without a class token (AudioMAE there): the score is the attention received, averaged over
    heads and queries, and the tokens leave between attention and MLP, as EViT's do. Published with fine-tuning and a
    schedule of blocks, which here are several placements; runs without. `topk-audio-mean` ranks the projector's output.
    """

    name = "topk-audio"
    source = "arXiv:2504.01690"
    summary = "keep the sound tokens that receive most attention, inside the encoder"
    mechanism = "attention"
    modalities = ("audio",)
    sites = ("encoder.layer.mid", "encoder.output")
    consumes = ("attention",)
    catalog_id = "topk-audio"
    training = "both"

    def needs(self, layout: Layout) -> tuple[Need, ...]:
        """The attention received in the attention that has just run."""
        return (latest_received(),)

    def score_ops(self, layout: Layout, width: int) -> tuple[Op, ...]:
        """The attention of all queries, summed up."""
        return (attention_column_op(width),)

    def score(self, tokens: Tokens) -> torch.Tensor:
        """The attention received, (B, N)."""
        return tokens.signal(latest_received())
