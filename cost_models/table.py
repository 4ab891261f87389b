"""Predictions for many plans at once: each distinct layer is priced once for each token count.

How a search uses it (one table a graph; everything below is vectorised over P plans and runs nothing):

    table = CostModel(profile, dtype="bfloat16").table(graph)      # graph as traced, without placements
    found = table.predict(counts)                                  # counts: (P, table.width) whole numbers
    found.ttft_ms, found.tpot_ms, found.memory_bytes               # (P,) float64 each, see `Predictions`

`counts` holds the tokens of one sequence in every layer of every stage, stages side by side in the order of
`graph.stages`: `table.columns["decoder"]` is the slice of the decoder's layers, and `table.row(placed_graph)` is the
row of a graph with placements. Where a plan also shrinks the cache, `kv_tokens` (P, depth) says what each numbered
decoder layer holds after the prefill (`table.kv_row(placed_graph)`); otherwise that is what the layer processed.

Rows need not be built by hand. `slots.Slots` makes them from placements:

    slots = Slots.of(table, placed)                 # what may be chosen, one `Placed` each
    found = slots.predict(chosen, dropped)          # (P, K) indices into `placed` in order of flow, -1 where a plan has
                                                    # fewer, and (P, K) tokens that each drops of one medium

An `input` placement changes how many sequences there are, so the graph that it leaves has a table of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..common.errors import BadInput
from ..ir.graph import Graph
from . import flow
from .lookup import Lookup, lookups
from .ridge import features_of
from .serving import closed_loop

if TYPE_CHECKING:
    from .model import CostModel

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

CHUNK = 1 << 13
"""Plans looked up at a time, so that memory stays flat however many there are."""

_MOST_TOKENS = 1 << 22
"""Look-up tables have one entry for each count up to the largest."""


@dataclass(frozen=True)
class Predictions:
    """Figures of P plans, as those of `Prediction`: float64 arrays of shape (P,)."""

    ttft_ms: FloatArray
    tpot_ms: FloatArray
    latency_ms: FloatArray
    throughput_per_s: FloatArray
    memory_bytes: FloatArray
    kv_bytes: FloatArray
    compression_ms: FloatArray


@dataclass(frozen=True)
class Table:
    """The figures of one graph as a function of its layers' token counts; make it with `CostModel.table`."""

    model: CostModel
    graph: Graph
    columns: Mapping[str, slice]
    _lookups: tuple[Lookup, ...]

    @classmethod
    def of(cls, model: CostModel, graph: Graph) -> Table:
        """The table of `graph`, which is as it was traced.

        Raises:
            BadInput: the graph has placements, or more tokens in a layer than a table can hold.
        """
        if graph.placed:
            raise BadInput("a table is made from the uncompressed model; give the graph as it was traced.")
        most = max(max(stage.tokens, default=0) for stage in graph.stages)
        if most > _MOST_TOKENS:
            raise BadInput(f"a layer of {graph.model} has {most} tokens; tables hold up to {_MOST_TOKENS}.")
        ends = np.cumsum([0, *(len(stage.layers) for stage in graph.stages)]).tolist()
        columns = {s.name: slice(ends[i], ends[i + 1]) for i, s in enumerate(graph.stages)}
        found = (lookups(model.pricer, graph, s, columns[s.name].start) for s in graph.stages)
        return cls(model, graph, columns, tuple(one for of_stage in found for one in of_stage))

    @property
    def width(self) -> int:
        """Columns of `counts`: layers of all stages."""
        return sum(len(stage.layers) for stage in self.graph.stages)

    def row(self, graph: Graph) -> IntArray:
        """Counts (width,) of `graph`, which is this table's with or without placements."""
        return np.concatenate([np.array(stage.tokens, dtype=np.int64) for stage in graph.stages])

    def kv_row(self, graph: Graph) -> IntArray:
        """Tokens (depth,) that each numbered decoder layer of `graph` holds after the prefill."""
        return np.array(graph.cached_tokens(), dtype=np.int64)

    def predict(
        self, counts: ArrayLike, compression_ms: ArrayLike = 0.0, *, kv_tokens: ArrayLike | None = None
    ) -> Predictions:
        """Figures of P plans.

        Args:
            counts: (P, width) whole numbers, none above the uncompressed model's.
            compression_ms: (P,) or a scalar, the passes' own time, added to the time to first token.
            kv_tokens: (P, depth), what the decoder's cache holds after the prefill; None is what its layers processed.

        Raises:
            BadInput: an array of another shape, or counts that are not whole numbers of the allowed range.
        """
        tokens = _checked(counts, "counts", self.row(self.graph))
        held = tokens[:, self._cached] if kv_tokens is None else _checked(kv_tokens, "kv_tokens", self._cached_base)
        added = np.asarray(compression_ms, dtype=np.float64)
        if added.shape not in ((), (len(tokens),)) or len(held) != len(tokens):
            shapes = f"compression_ms {added.shape} and kv_tokens {held.shape}"
            raise BadInput(f"{shapes} must have one row for each of the {len(tokens)} plans.")
        added = np.broadcast_to(added, len(tokens))
        return joined(self._part(tokens[i], held[i], added[i]) for i in chunks(len(tokens)))

    @property
    def _cached(self) -> slice:
        decoder = self.graph.decoder
        start = self.columns["decoder"].start + decoder.first
        return slice(start, start + decoder.depth)

    @property
    def _cached_base(self) -> IntArray:
        return self.row(self.graph)[self._cached]

    def _part(self, tokens: IntArray, held: IntArray, added: FloatArray) -> Predictions:
        """Figures of one chunk of plans."""
        pricer, work = self.model.pricer, self.graph.workload
        at_decode = tokens.copy()
        at_decode[:, self._cached] = held
        prefill = {stage.name: np.zeros(len(tokens)) for stage in self.graph.stages}
        decode, alive = {name: values.copy() for name, values in prefill.items()}, np.zeros(len(tokens))
        for lookup in self._lookups:
            counts, name = tokens[:, lookup.columns], lookup.stage.name
            prefill[name] += lookup.prefill[counts].sum(axis=1)
            alive = np.maximum(alive, lookup.activation[counts].max(axis=1))
            if lookup.decode is not None:
                decode[name] += lookup.decode[at_decode[:, lookup.columns]].sum(axis=1)
        ttft, tpot, added = self._times(prefill, decode, added)
        serving = closed_loop(ttft, tpot, workload=work)
        cache, answer = held.sum(axis=1), self.graph.decoder.depth * flow.answer_tokens(self.graph)
        token_bytes = work.batch * self.graph.decoder.key_value_width * pricer.activation_bytes
        weights = flow.weight_bytes(pricer, self.graph)
        return Predictions(
            ttft_ms=ttft,
            tpot_ms=tpot,
            latency_ms=ttft + max(work.new_tokens - 1, 0) * tpot,
            throughput_per_s=serving.throughput_per_s,
            memory_bytes=weights + work.concurrency * token_bytes * (cache + answer) + alive,
            kv_bytes=token_bytes * cache,
            compression_ms=added,
        )

    def _times(
        self, prefill: Mapping[str, FloatArray], decode: Mapping[str, FloatArray], added: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """(TTFT, TPOT, the passes' own time) (P,) from device ms by stage and the passes' uncorrected time."""
        pricer, encoder = self.model.pricer, np.zeros(len(added))
        ttft, tpot = added.copy(), np.zeros(len(added))
        for stage in self.graph.stages:
            calls = flow.calls(stage)
            taken = pricer.joined_ms(prefill[stage.name], calls=calls, runs=1, part=stage.role)
            ttft += taken
            encoder += taken if stage.role == "encoder" else 0.0
            if flow.decodes(stage):
                steps = flow.decode_steps(stage)
                tpot += pricer.joined_ms(decode[stage.name], calls=calls, steps=steps, part="decode")
        correction = self.model.profile.correction
        if correction is None:
            return ttft, tpot, added
        shares = {"ttft_ms": ttft, "encoder_ms": encoder, "compression_ms": added}
        first = correction.ttft_factor(features_of(ttft, **shares))
        return first * ttft, correction.tpot_factor(features_of(tpot, **shares)) * tpot, first * added


def joined(parts: Iterator[Predictions]) -> Predictions:
    """Chunks of plans, one after the other."""
    rows = [vars(part) for part in parts]
    return Predictions(**{name: np.concatenate([row[name] for row in rows]) for name in rows[0]})


def chunks(plans: int) -> Iterator[slice]:
    """Slices of at most CHUNK plans."""
    return (slice(start, start + CHUNK) for start in range(0, plans, CHUNK))


def _checked(counts: ArrayLike, name: str, base: IntArray) -> IntArray:
    tokens = np.asarray(counts)
    if tokens.ndim != 2 or tokens.shape[1] != len(base) or not len(tokens):
        raise BadInput(f"{name} has shape {tokens.shape}; give a row a plan and {len(base)} columns, one a layer.")
    if not np.issubdtype(tokens.dtype, np.integer) or tokens.min() < 0 or (tokens > base).any():
        raise BadInput(f"{name} must hold whole numbers from 0 to the tokens of each layer of the uncompressed model.")
    return tokens
