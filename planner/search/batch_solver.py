"""How much to drop, solved for many decisions at once on the vectorised cost model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import numpy.typing as npt

from ...common.errors import BadInput
from ...cost_models import CostModel
from ...cost_models.slots import Slots
from ...cost_models.table import Predictions
from ...ir.graph import Graph, Placed
from .decision import Decision, Step
from .placements import modalities_of
from .solver import Solver

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_STAND_IN, _FIRST_LAYER = "random", "encoder.layers.0"
"""A pass that takes any count and costs next to nothing, and where it acts before an encoder has done any work."""


def least_dropped(solver: Solver, decisions: Sequence[Decision]) -> dict[Decision, int]:
    """For each of `decisions` that can meet the budgets the fewest tokens to drop, by the vectorised cost model.

    Raises:
        BadInput: the solver's cost model has no table of counts.
    """
    if not isinstance(solver.cost, CostModel):
        raise BadInput(f"a {type(solver.cost).__name__} has no table of counts; give a CostModel")
    slower = np.array([solver.slower(decision) for decision in decisions])
    dropped = _solved(solver, _Plans.of(solver, solver.cost, decisions), slower)
    held = zip(decisions, dropped.tolist(), strict=True)
    return {decision: count for decision, count in held if count < solver.space.tokens}


def countable(solver: Solver, step: Step) -> bool:
    """Whether the table knows the step's counts: token by token, or as tokens that leave before the first layer."""
    pairs = product(step.places, modalities_of(solver.space.graph, step))
    return all(_slot(solver, step, place, modality) is not None for place, modality in pairs)


@dataclass(frozen=True)
class _Plans:
    """P combinations as arrays over K slots: which slot, the shares before and after its step, its stage's exponent."""

    slots: Slots
    chosen: IntArray
    before: FloatArray
    after: FloatArray
    exponent: FloatArray
    tokens: IntArray
    owners: IntArray

    @classmethod
    def of(cls, solver: Solver, cost: CostModel, decisions: Sequence[Decision]) -> _Plans:
        """The arrays of `decisions`."""
        placed: list[Placed] = []
        index: dict[tuple[Step, str, str], int] = {}
        rows = [list(_rows(solver, decision, placed, index)) for decision in decisions]
        width = max(map(len, rows))
        padded = np.array([row + [(-1, 0.0, 0.0, 1.0)] * (width - len(row)) for row in rows])
        graph = solver.space.graph
        owners = {modality: number for number, modality in enumerate(graph.layouts)}
        return cls(
            slots=Slots.of(cost.table(graph), placed),
            chosen=padded[:, :, 0].astype(np.int64),
            before=padded[:, :, 1],
            after=padded[:, :, 2],
            exponent=padded[:, :, 3],
            tokens=np.array([item.tokens_in for item in placed]),
            owners=np.array([owners[item.modality] for item in placed]),
        )

    def predict(self, part: FloatArray) -> Predictions:
        """Figures where `part` (P,) of the tokens of every medium are dropped in all."""
        first, last = 1 - self.before * part[:, None], 1 - self.after * part[:, None]
        remaining = first * (np.maximum(last, 0) / np.maximum(first, 1e-9)) ** self.exponent
        wanted = np.maximum(1, np.rint(self.tokens[self.chosen] * remaining)).astype(np.int64)
        drops = np.zeros_like(wanted)
        for owner in np.unique(self.owners):  # each modality has its own stream
            left = np.full(len(wanted), self.tokens[self.owners == owner][0])
            for column in range(wanted.shape[1]):
                acts = (self.chosen[:, column] >= 0) & (self.owners[self.chosen[:, column]] == owner)
                after = np.where(acts, np.minimum(left, wanted[:, column]), left)
                drops[:, column] += left - after
                left = after
        return self.slots.predict(self.chosen, drops)


def _rows(
    solver: Solver, decision: Decision, placed: list[Placed], index: dict[tuple[Step, str, str], int]
) -> Iterator[tuple[int, float, float, float]]:
    """(slot, share before, share after, exponent) of every stage, modality by modality; new slots join `placed`."""
    graph = solver.space.graph
    for modality in graph.layouts:
        pairs = zip(decision.steps, decision.shares, strict=True)
        acting = [(step, weight) for step, weight in pairs if modality in modalities_of(graph, step)]
        total, before = sum(weight for _, weight in acting), 0.0
        for step, weight in acting:
            after = before + weight / total
            for stage, place in enumerate(step.places, start=1):
                key = (step, place, modality)
                if key not in index:
                    index[key] = len(placed)
                    placed.append(_counted(solver, step, place, modality))
                yield index[key], before, after, stage / len(step.places)
            before = after


def _counted(solver: Solver, step: Step, place: str, modality: str) -> Placed:
    item = _slot(solver, step, place, modality)
    if item is None:
        raise BadInput(f"the counts of {step} are not in the cost model's table; leave it out of what is narrowed")
    return item


def _slot(solver: Solver, step: Step, place: str, modality: str) -> Placed | None:
    """The step's pass alone at one place, on the uncompressed model; None where the table cannot take its counts.

    Frames leave as a whole, which changes how many sequences there are; as many tokens that leave before the first
    layer of the encoder take nearly the same from every layer, so they stand for them.
    """
    tried = [Step(step.method, (place,), modality)]
    tried += [Step(_STAND_IN, (_FIRST_LAYER,), modality)] if step.kind == "input" else []
    items = (_alone(solver, each) for each in tried)
    return next((item for item in items if item is not None and _by_token(solver.space.graph, item)), None)


def _alone(solver: Solver, step: Step) -> Placed | None:
    """The step alone at half of the tokens, None where the model does not offer it."""
    try:
        placed = solver.resolved(solver.space.placements(Decision.of(step), solver.space.tokens // 2)).placed
    except BadInput:
        return None
    return placed[0] if placed else None


def _by_token(graph: Graph, item: Placed) -> bool:
    """Whether every number of tokens may go and the sequences stay as they are."""
    sequences = [stage.sequences for stage in graph.stages]
    try:
        fewer = [graph.place([replace(item, tokens_out=count)]) for count in (item.tokens_in - 1, 0)]
    except BadInput:
        return False
    return all([stage.sequences for stage in placed.stages] == sequences for placed in fewer)


def _solved(solver: Solver, plans: _Plans, slower: FloatArray) -> IntArray:
    """(P,) fewest tokens of the largest medium to drop so that every budget holds; N where none does."""
    total = solver.space.tokens
    low = np.full(len(plans.chosen), -1)
    high = np.full(len(plans.chosen), total)
    while (high - low > 1).any():
        middle = np.minimum((low + high) // 2, total - 1)
        holds = solver.excesses(plans.predict(middle / total), slower) <= 0
        high, low = np.where(holds, middle, high), np.where(holds, low, np.maximum(low, middle))
    return high
