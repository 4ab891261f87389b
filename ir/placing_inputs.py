"""Placements before an encoder: encoder, projector and decoder all see a smaller input."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

from .placing import patches_per_unit, with_stage

if TYPE_CHECKING:
    from .graph import Graph, Placed, Stage


def shortened_stages(graph: Graph, item: Placed) -> Graph:
    """The graph with a modality's encoder and projector on the shortened input; the decoder is left as it is.

    Where every frame is a sequence of its own, fewer frames are fewer sequences; elsewhere fewer tokens. What stands
    before the patches of a sequence, such as [CLS], stays.
    """
    media = graph.media(item.modality)
    for stage in graph.stages:
        if stage.modality == item.modality:
            graph = with_stage(graph, _shortened(graph, stage, item, media))
    return graph


def _shortened(graph: Graph, stage: Stage, item: Placed, media: int) -> Stage:
    before, after = item.frames
    share = Fraction(item.tokens_out, item.tokens_in)
    sequences = stage.sequences
    if before > 1 and sequences % (media * before) == 0:
        sequences = sequences // before * after
        share *= Fraction(before, after)
    prefix = _prefix(graph, stage, item) if stage.role == "encoder" else 0

    def shorter(tokens: int) -> int:
        return prefix + round((tokens - prefix) * share)

    leaving = stage.leaving
    if leaving is not None:
        leaving = shorter(leaving) if leaving == stage.tokens[-1] else round(leaving * share)
    return replace(stage, sequences=sequences, tokens=tuple(map(shorter, stage.tokens)), leaving=leaving)


def _prefix(graph: Graph, stage: Stage, item: Placed) -> int:
    """Tokens of one of the encoder's sequences that are no patches."""
    patches = item.tokens_in * graph.media(item.modality) * patches_per_unit(graph, item.modality)
    spare = stage.tokens[stage.first] - patches // stage.sequences
    return spare if 0 <= spare < 8 else 0
