"""Predictions for many plans at once: each distinct layer is priced once for each distinct token count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..common.errors import BadInput
from ..ir.graph import Graph
from . import flow

if TYPE_CHECKING:
    from .model import CostModel

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_CHUNK = 1 << 14
"""Plans looked up at a time, so that memory stays flat however many there are."""

_MOST_TOKENS = 1 << 24
"""Look-up tables have one entry for each count up to the largest."""


@dataclass(frozen=True)
class Table:
    """Figures of P plans: float64 arrays of shape (P,), in ms and bytes."""

    ttft_ms: FloatArray
    tpot_ms: FloatArray
    memory_bytes: FloatArray


@dataclass(frozen=True)
class _Lookup:
    """Costs of one group of equal layers, indexed by token count: device ms of prefill and decode, activation bytes."""

    members: tuple[int, ...]
    prefill: FloatArray
    decode: FloatArray
    activation: FloatArray


def predict_many(model: CostModel, graph: Graph, decoder_tokens: ArrayLike, compression_ms: ArrayLike = 0.0) -> Table:
    """Figures of P plans that differ in the decoder's token counts and in the compressors' own time.

    Args:
        model: the cost model.
        graph: the traced graph; its own decoder counts and placements are not used.
        decoder_tokens: (P, layers) integers, tokens of one request in each layer of the decoder stage, embeddings
            and final norm included: `graph.decoder.tokens` of the placed graph.
        compression_ms: (P,) or a scalar, added to the time to first token.

    Raises:
        BadInput: counts that are not (P, layers) whole numbers above zero, or another number of compression times.
    """
    tokens = _checked_tokens(decoder_tokens, layers=len(graph.decoder.layers))
    added = _checked_times(compression_ms, plans=len(tokens))
    lookups = _lookups(model, graph, tokens)
    parts = [_summed(lookups, tokens[start : start + _CHUNK]) for start in range(0, len(tokens), _CHUNK)]
    prefill, decode, activation = (np.concatenate(column) for column in zip(*parts, strict=True))
    fixed_ttft, fixed_tpot, fixed_activation = _elsewhere(model, graph)
    calls = flow.calls(graph.decoder)
    caches = graph.workload.concurrency * _kv_bytes(model, graph, tokens)
    return Table(
        ttft_ms=fixed_ttft + model.pricer.joined_ms(prefill, calls=calls, runs=1) + added,
        tpot_ms=fixed_tpot + model.pricer.joined_ms(decode, calls=calls, runs=1),
        memory_bytes=flow.weight_bytes(model.pricer, graph) + caches + np.maximum(activation, fixed_activation),
    )


def _summed(lookups: list[_Lookup], tokens: IntArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Device ms of prefill and decode, and the largest activation, of a chunk of plans."""
    prefill, decode, activation = (np.zeros(len(tokens)) for _ in range(3))
    for lookup in lookups:
        counts = tokens[:, lookup.members]
        prefill += lookup.prefill[counts].sum(axis=1)
        decode += lookup.decode[counts].sum(axis=1)
        activation = np.maximum(activation, lookup.activation[counts].max(axis=1))
    return prefill, decode, activation


def _lookups(model: CostModel, graph: Graph, tokens: IntArray) -> list[_Lookup]:
    """Tables of every group of decoder layers, filled at the counts that occur."""
    present = np.zeros(int(tokens.max()) + 1, dtype=np.bool_)
    present[tokens.ravel()] = True
    counts, work, width = np.flatnonzero(present), graph.workload, graph.decoder.width
    sequences, rows = graph.decoder.sequences * work.batch, work.batch * work.concurrency
    found = []
    for group in flow.layer_groups(graph.decoder):
        prefill = flow.prefill_ms(model.pricer, group.ops, counts, sequences=sequences)
        decode = flow.decode_ms(model.pricer, group.ops, counts, rows=rows, new_tokens=work.new_tokens)
        alive = flow.activation_bytes(model.pricer, group.ops, counts, sequences=sequences, width=width)
        found.append(_Lookup(group.members, *(_spread(column, counts) for column in (prefill, decode, alive))))
    return found


def _spread(values: FloatArray, counts: IntArray) -> FloatArray:
    """`values` at the indices `counts`, NaN elsewhere."""
    table = np.full(int(counts[-1]) + 1, np.nan)
    table[counts] = values
    return table


def _elsewhere(model: CostModel, graph: Graph) -> tuple[float, float, float]:
    """(ttft ms, tpot ms, activation bytes) of the stages beside the decoder."""
    others = [stage for stage in graph.stages if stage.role != "decoder"]
    ttft = sum(model.stage_ms(graph, stage) for stage in others)
    tpot = sum(model.decode_stage_ms(graph, stage) for stage in others if stage.role == "head")
    return ttft, tpot, max((model.activation_bytes(graph, stage) for stage in others), default=0.0)


def _kv_bytes(model: CostModel, graph: Graph, tokens: IntArray) -> FloatArray:
    decoder = graph.decoder
    held = tokens[:, decoder.first : decoder.first + decoder.depth].sum(axis=1)
    cached = held + decoder.depth * flow.answer_tokens(graph)
    elements = graph.workload.batch * decoder.key_value_width * cached
    return np.asarray(elements * model.pricer.activation_bytes)


def _checked_tokens(decoder_tokens: ArrayLike, *, layers: int) -> IntArray:
    tokens = np.asarray(decoder_tokens)
    if tokens.ndim != 2 or tokens.shape[1] != layers or not len(tokens):
        raise BadInput(f"decoder_tokens has shape {tokens.shape}; give a row a plan and {layers} columns, one a layer.")
    if not np.issubdtype(tokens.dtype, np.integer) or tokens.min() < 1 or tokens.max() > _MOST_TOKENS:
        raise BadInput(f"decoder_tokens must hold whole numbers from 1 to {_MOST_TOKENS}, the tokens of each layer.")
    return tokens.astype(np.int64, copy=False)


def _checked_times(compression_ms: ArrayLike, *, plans: int) -> FloatArray:
    times = np.asarray(compression_ms, dtype=np.float64)
    if times.shape not in ((), (plans,)):
        raise BadInput(f"compression_ms has shape {times.shape}; give one time for each of the {plans} plans.")
    return times
