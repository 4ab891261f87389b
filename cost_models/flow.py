"""A graph's prefill and decode step, as costs of distinct layers over arrays of token counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..ir.graph import Graph, Placed, Stage
from ..ir.op import Op
from .latency import Pricer

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class LayerGroup:
    """Layers of one stage that run the same ops, so that each token count is priced once.

    Attributes:
        ops: what each of them runs. members: their indices in the stage.
    """

    ops: tuple[Op, ...]
    members: tuple[int, ...]


def layer_groups(stage: Stage) -> tuple[LayerGroup, ...]:
    """The layers of `stage`, grouped by equal ops."""
    found: dict[tuple[Op, ...], list[int]] = {}
    for index, layer in enumerate(stage.layers):
        found.setdefault(layer.ops, []).append(index)
    return tuple(LayerGroup(ops, tuple(members)) for ops, members in found.items())


def prefill_counts(stage: Stage) -> IntArray:
    """Tokens that each layer processes in the prefill, (layers,); the head reads the last token only."""
    return np.array([1 if stage.role == "head" else tokens for tokens in stage.tokens], dtype=np.int64)


def prefill_ms(pricer: Pricer, ops: tuple[Op, ...], tokens: Any, *, sequences: int) -> FloatArray:
    """Device time of one layer over `tokens` tokens of each of `sequences` sequences."""
    return pricer.ops_ms(ops, batch=sequences, tokens=tokens, context=tokens)


def decode_ms(pricer: Pricer, ops: tuple[Op, ...], cached: Any, *, rows: int, new_tokens: int) -> FloatArray:
    """Mean device time of one layer over the decode steps of `rows` rows that start with `cached` tokens each.

    Step t attends to cached + t keys, t = 1 .. new_tokens - 1. Cost is linear in the keys, so the mean step is the
    step at the mean context.
    """
    return pricer.ops_ms(ops, batch=rows, tokens=1, context=cached + mean_step(new_tokens))


def mean_step(new_tokens: int) -> float:
    """Mean of 1 .. new_tokens - 1; one step where the answer has no second token."""
    return max(new_tokens, 2) / 2.0


def calls(stage: Stage) -> int:
    """Ops that the host starts in one run of the stage."""
    return sum(len(layer.ops) for layer in stage.layers)


def placed_ms(pricer: Pricer, graph: Graph, item: Placed) -> float:
    """Time of the work of one placement over all media of the request."""
    media = graph.media(item.modality) * graph.workload.batch
    device = pricer.ops_ms(item.ops, batch=media, tokens=item.tokens_in, context=item.tokens_out)
    return float(pricer.joined_ms(device, calls=len(item.ops)))


def activation_bytes(pricer: Pricer, ops: tuple[Op, ...], tokens: Any, *, sequences: int, width: int) -> FloatArray:
    """Activations alive at the largest op of a layer, the residual stream beside it included."""
    largest = np.zeros(np.shape(tokens))
    for op in ops:
        largest = np.maximum(largest, pricer.activations(op, batch=sequences, tokens=tokens, context=tokens))
    return np.asarray(largest + sequences * np.asarray(tokens) * width * pricer.activation_bytes)


def weight_bytes(pricer: Pricer, graph: Graph) -> float:
    """Bytes of all weights."""
    return graph.parameters * pricer.weight_bytes


def answer_tokens(graph: Graph) -> int:
    """Tokens per row that join the cache after the first prefill: answers, and the text of later turns."""
    work = graph.workload
    return max(work.new_tokens - 1, 0) + (work.turns - 1) * (work.new_tokens + work.text_tokens)
