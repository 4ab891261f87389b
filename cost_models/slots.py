"""Plans as choices among placements: the token counts and the passes' own time of many plans at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..common.errors import BadInput
from ..ir.graph import Placed
from ..ir.op import Op
from . import flow
from .table import Predictions, Table, chunks, joined

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Slots:
    """The placements that plans may choose from, and what one dropped token takes from each layer.

    Attributes:
        table: of the graph that they are placed in.
        placed: each as it would be alone on the uncompressed model; its `ops` are what the pass costs.
        effects: (S, table.width) tokens that each layer loses for one token dropped of every medium, fractions where
            the sequences of a layer are not the media (tiles). kv_effects: (S, depth) the same of the decoder's cache.
    """

    table: Table
    placed: tuple[Placed, ...]
    effects: FloatArray
    kv_effects: FloatArray

    @classmethod
    def of(cls, table: Table, placed: Sequence[Placed]) -> Slots:
        """The slots of `placed`, each site tried once on the table's graph with every token dropped.

        A cache pass is tried as it is: what one dropped token evicts from each layer is taken to be the same for any
        number of them.

        Raises:
            BadInput: there are none, the graph does not offer a site, or one changes how many sequences there are.
        """
        if not placed:
            raise BadInput("there is no placement to choose from; give at least one.")
        keys = [(item.placement.site, item.modality, item.tokens_in, item.evicted) for item in placed]
        effects = {key: _effect(table, item) for key, item in dict(zip(keys, placed, strict=True)).items()}
        rows, cached = zip(*(effects[key] for key in keys), strict=True)
        return cls(table, tuple(placed), np.stack(rows), np.stack(cached))

    def predict(self, chosen: ArrayLike, dropped: ArrayLike) -> Predictions:
        """Figures of P plans of up to K placements each.

        Args:
            chosen: (P, K) indices into `placed` in order of flow, -1 where a plan has fewer than K.
            dropped: (P, K) tokens that the placement drops of each medium; read where `chosen` is not -1.

        Raises:
            BadInput: arrays of another shape or range, or a plan that drops more than a medium has.
        """
        picks, drops = np.asarray(chosen), np.asarray(dropped)
        if picks.ndim != 2 or picks.shape != drops.shape or not len(picks):
            raise BadInput(f"chosen {picks.shape} and dropped {drops.shape} must both be (plans, placements).")
        if not all(np.issubdtype(array.dtype, np.integer) for array in (picks, drops)):
            raise BadInput("chosen and dropped must hold whole numbers.")
        if picks.min() < -1 or picks.max() >= len(self.placed) or (drops * (picks >= 0)).min() < 0:
            raise BadInput(f"chosen must lie from -1 to {len(self.placed) - 1}, and dropped must not be negative.")
        return joined(self._part(picks[i], np.where(picks[i] < 0, 0, drops[i])) for i in chunks(len(picks)))

    def _part(self, picks: IntArray, drops: IntArray) -> Predictions:
        base, cached = self.table.row(self.table.graph), self.table.kv_row(self.table.graph)
        counts = np.broadcast_to(base, (len(picks), len(base))).copy()
        held = np.broadcast_to(cached, (len(picks), len(cached))).copy()
        for pick, drop in zip(picks.T, drops.T, strict=True):
            counts -= np.rint(drop[:, None] * self.effects[pick]).astype(np.int64)
            held -= np.rint(drop[:, None] * self.kv_effects[pick]).astype(np.int64)
        return self.table.predict(counts, self.compression_ms(picks, drops), kv_tokens=held)

    def compression_ms(self, picks: IntArray, drops: IntArray) -> FloatArray:
        """Time of the passes' own work (P,), each over what the placements before it left of its modality."""
        groups = _priced_alike(self.placed)
        total = np.zeros(len(picks))
        for modality in {item.modality for item in self.placed}:
            of_modality = np.array([item.modality == modality for item in self.placed])
            gone = np.zeros(len(picks), dtype=np.int64)
            for pick, drop in zip(picks.T, drops.T, strict=True):
                acts = (pick >= 0) & of_modality[pick]
                for members, item in groups:
                    rows = np.flatnonzero(acts & members[pick] & (drop > 0))
                    if item.modality == modality and len(rows):
                        total[rows] += self._work_ms(item, gone[rows], drop[rows])
                gone += np.where(acts, drop, 0)
        return total

    def _work_ms(self, item: Placed, gone: IntArray, drop: IntArray) -> FloatArray:
        """Time of one pass where `gone` tokens were dropped before it and it drops `drop`, each pair priced once."""
        keys = gone * (item.tokens_in + 1) + drop
        distinct, inverse = np.unique(keys, return_inverse=True)
        arriving = item.tokens_in - distinct // (item.tokens_in + 1)
        left = arriving - distinct % (item.tokens_in + 1)
        if left.min() < 0:
            raise BadInput(f"a plan drops more than the {item.tokens_in} tokens of a medium of {item.modality}.")
        tried = flow.work_ms(self.table.model.pricer, self.table.graph, item, tokens=arriving, context=left)
        return np.asarray(tried[inverse])


def _effect(table: Table, item: Placed) -> tuple[FloatArray, FloatArray]:
    """What one token dropped by `item` takes from every column (width,) and from every layer's cache (depth,)."""
    graph, most = table.graph, item if item.evicted else replace(item, tokens_out=0)
    placed = graph.place([most])
    if [stage.sequences for stage in placed.stages] != [stage.sequences for stage in graph.stages]:
        raise BadInput(f"{item.placement.label()} changes how many sequences there are; make a table after it.")
    dropped = max(most.tokens_in - most.tokens_out, 1)
    row, held = table.row(graph) - table.row(placed), table.kv_row(graph) - table.kv_row(placed)
    return row / dropped, held / dropped


def _priced_alike(placed: Sequence[Placed]) -> list[tuple[NDArray[np.bool_], Placed]]:
    """Placements that cost the same, wherever they stand: (which of `placed` they are, one of them)."""
    found: dict[tuple[str, int, tuple[Op, ...]], list[int]] = {}
    for index, item in enumerate(placed):
        found.setdefault((item.modality, item.tokens_in, item.ops), []).append(index)
    return [(np.isin(np.arange(len(placed)), members), placed[members[0]]) for members in found.values()]
