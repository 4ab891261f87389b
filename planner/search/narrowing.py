"""From millions of combinations to a short list: the vectorised cost model says which of them can meet the budget."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from ...cost_models import CostModel
from .batch_solver import countable, least_dropped
from .decision import Decision, Step
from .solver import Solver
from .space import MOST_STEPS, Space
from .surrogate import Surrogate

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_PAIR_SHARES = ((0.15, 0.85), (0.35, 0.65), (0.5, 0.5), (0.65, 0.35), (0.8, 0.2), (0.92, 0.08))
_TRIPLE_SHARES = (
    (0.34, 0.33, 0.33),
    (0.6, 0.2, 0.2),
    (0.6, 0.3, 0.1),
    (0.2, 0.6, 0.2),
    (0.2, 0.3, 0.5),
    (0.8, 0.12, 0.08),
)


_SHARED = 3
"""Proposals of one size that may hold the same step."""


@dataclass(frozen=True)
class Narrowed:
    """What is left of the combinations.

    Attributes:
        considered: plans that the cost model was asked about: combinations, each at every count of dropped tokens.
        feasible: combinations that can meet the budgets. best: the most promising of them, least expected loss first.
        losses: the expected loss of each of `best`.
    """

    considered: int
    feasible: int
    best: tuple[Decision, ...]
    losses: tuple[float, ...]


def narrow(solver: Solver, surrogate: Surrogate, steps: Sequence[Step], *, count: int) -> Narrowed:
    """The `count` combinations of two and three of `steps` that promise most among those that can meet the budgets.

    How much each must drop is bisected for all combinations at once. An expectation below the best of its own steps
    alone counts only by the conflict table's discount of the pair.
    """
    if not isinstance(solver.cost, CostModel):
        return Narrowed(0, 0, (), ())
    decisions = list(_combinations(solver.space, [step for step in steps if countable(solver, step)]))
    if not decisions:
        return Narrowed(0, 0, (), ())
    held = least_dropped(solver, decisions)
    losses = {decision: _expected(solver, surrogate, decision, dropped) for decision, dropped in held.items()}
    known = sorted((d for d in losses if np.isfinite(losses[d])), key=lambda decision: losses[decision])
    pairs = _varied([decision for decision in known if len(decision.steps) == 2], (count + 1) // 2)
    triples = _varied([decision for decision in known if len(decision.steps) == 3], count - len(pairs))
    best = tuple(sorted((*pairs, *triples), key=lambda decision: losses[decision]))
    return Narrowed(len(decisions) * solver.space.tokens, len(held), best, tuple(losses[d] for d in best))


def _combinations(space: Space, steps: Sequence[Step]) -> Iterator[Decision]:
    """Two and three of `steps` that no rule forbids together, each with several ways to share the dropping."""
    shares = {2: _PAIR_SHARES, 3: _TRIPLE_SHARES}
    ordered = sorted(steps, key=lambda step: (step.depth, str(step)))
    for size in range(2, MOST_STEPS + 1):
        for chosen in combinations(ordered, size):
            if space.gain(chosen) > 0:
                yield from (Decision(chosen, split) for split in shares[size])


def _expected(solver: Solver, surrogate: Surrogate, decision: Decision, dropped: int) -> float:
    remaining = remaining_after(decision, dropped / solver.space.tokens)
    together = float(surrogate.loss(decision, remaining))
    alone = [float(surrogate.loss(Decision.of(step), remaining[-1:])) for step in decision.steps]
    better = min(alone)
    return together if together >= better else better - solver.space.gain(decision.steps) * (better - together)


def remaining_after(decision: Decision, part: float) -> list[float]:
    """The fraction of tokens left after each step, where `part` of all are dropped.

    >>> remaining_after(Decision.of(("pool", "projector.output"), ("fastv", "decoder.layers.2")), 0.5)
    [0.75, 0.5]
    """
    cumulated = np.cumsum(decision.shares)
    return [float(max(1 - part * share, 0.0)) for share in cumulated]


def _varied(decisions: Sequence[Decision], count: int) -> tuple[Decision, ...]:
    """The first `count` of which no two differ in a single step and none has a step that two before it have.

    What is expected of combinations errs alike where they share steps, so the first dozen would all stand or fall
    together. Where that leaves too few, the first of the others follow.
    """
    chosen: list[Decision] = []
    used: Counter[Step] = Counter()
    left: dict[tuple[Step, ...], Decision] = {}
    for decision in decisions:
        spent = any(used[step] == _SHARED for step in decision.steps)
        if spent or any(len({*decision.steps} & {*other.steps}) > 1 for other in chosen):
            left.setdefault(decision.steps, decision)
        else:
            chosen.append(decision)
            used.update(decision.steps)
        if len(chosen) == count:
            return tuple(chosen)
    known = {decision.steps for decision in chosen}
    return (*chosen, *[other for steps, other in left.items() if steps not in known][: count - len(chosen)])
