"""A graph's prefill and decode step, as costs of distinct layers over arrays of token counts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..ir.graph import Graph, Placed, Stage
from ..ir.op import Op
from ..ir.polynomial import Polynomial
from .latency import Pricer
from .parts import PASSES

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

CACHE = "cache"
"""Name of the op by which a decoder layer appends to its cache."""


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
    return pricer.ops_ms(decode_ops(ops), batch=rows, tokens=1, context=cached + mean_step(new_tokens))


def stage_prefill_ms(pricer: Pricer, graph: Graph, stage: Stage) -> float:
    """Device time of all layers of `stage` in one prefill."""
    counts, sequences = prefill_counts(stage), stage.sequences * graph.workload.batch
    groups = ((group.ops, counts[list(group.members)]) for group in layer_groups(stage))
    return sum(float(prefill_ms(pricer, ops, tokens, sequences=sequences).sum()) for ops, tokens in groups)


def stage_decode_ms(pricer: Pricer, graph: Graph, stage: Stage) -> float:
    """Mean device time of all layers of `stage` in one decode step."""
    work, cached = graph.workload, cached_counts(graph, stage)
    rows, new_tokens = work.batch * work.concurrency, work.new_tokens
    groups = ((group.ops, cached[list(group.members)]) for group in layer_groups(stage))
    return sum(float(decode_ms(pricer, ops, held, rows=rows, new_tokens=new_tokens).sum()) for ops, held in groups)


def decode_ops(ops: tuple[Op, ...]) -> tuple[Op, ...]:
    """`ops` as a decode step runs them: a cache that grows by concatenation is copied whole in every step."""
    return tuple(replace(op, elements=_over_context(op.elements)) if op.name == CACHE else op for op in ops)


def _over_context(elements: Polynomial) -> Polynomial:
    return Polynomial(
        {(batch, 0, tokens + context): value for (batch, tokens, context), value in elements.terms.items()}
    )


def mean_step(new_tokens: int) -> float:
    """Mean of 1 .. new_tokens - 1; one step where the answer has no second token."""
    return max(new_tokens, 2) / 2.0


def decode_steps(stage: Stage) -> int:
    """Decode steps whose bookkeeping the host pays in one run of `stage`: the decoder's, once for the whole step."""
    return int(stage.role == "decoder")


def calls(stage: Stage) -> int:
    """Ops that the host starts in one run of the stage."""
    return sum(len(layer.ops) for layer in stage.layers)


def decodes(stage: Stage) -> bool:
    """Whether `stage` runs in every decode step."""
    return stage.role in ("decoder", "head")


def cached_counts(graph: Graph, stage: Stage) -> IntArray:
    """Keys that each layer of a decoding stage attends to at its first decode step, the step's own left out."""
    counts = np.array(stage.tokens, dtype=np.int64)
    if stage.role == "decoder":
        counts[stage.first : stage.first + stage.depth] = graph.cached_tokens()
    return counts


def placed_ms(pricer: Pricer, graph: Graph, item: Placed) -> float:
    """Time of the work of one placement over all media of the request."""
    return float(work_ms(pricer, graph, item, tokens=item.tokens_in, context=item.tokens_out))


def work_ms(pricer: Pricer, graph: Graph, item: Placed, *, tokens: Any, context: Any) -> FloatArray:
    """Time of the work of `item` over all media of the request if `tokens` arrive and it leaves `context`."""
    device = np.zeros(np.broadcast(tokens, context).shape)
    for op in item.ops:
        device = device + _primitive_ms(pricer, graph, item, op, tokens=tokens, context=context)
    return np.asarray(pricer.joined_ms(device, calls=len(item.ops)))


def primitive_times(pricer: Pricer, graph: Graph, item: Placed) -> list[tuple[str, float]]:
    """The part of a profile (`passes.NAME`) and the device's ms of each op of one placement."""
    at = {"tokens": item.tokens_in, "context": item.tokens_out}
    return [(_primitive(op), float(_primitive_ms(pricer, graph, item, op, **at))) for op in item.ops]


def _primitive_ms(pricer: Pricer, graph: Graph, item: Placed, op: Op, *, tokens: Any, context: Any) -> FloatArray:
    media = graph.media(item.modality) * graph.workload.batch
    return pricer.op_ms(op, batch=media, tokens=tokens, context=context) * pricer.profile.scale(_primitive(op))


def _primitive(op: Op) -> str:
    return f"{PASSES}.{op.name}"


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
