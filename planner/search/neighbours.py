"""Decisions next to a good one: a pass one place earlier or later, or a little of the dropping moved between two."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from itertools import islice, permutations, zip_longest

from .decision import Alike, Decision, Step
from .solver import Solver
from .space import Space

_MOVED = 0.15
"""The most of all dropping that moves from one step to another; of two steps the lesser one's is halved or doubled at
most, since a step that finds few tokens left takes most of them with a small share."""


def neighbours(
    solver: Solver, decisions: Iterable[Decision], *, count: int, known: Container[Alike] = ()
) -> tuple[Decision, ...]:
    """Up to `count` decisions next to `decisions` that can hold the budgets, `known` ones left out, of each in turn."""
    near = [list(_near(solver.space, decision)) for decision in decisions]
    in_turn = (decision for row in zip_longest(*near) for decision in row if decision is not None)
    repaired = (solver.repaired(d) if len(d.steps) > 1 else d for d in in_turn)
    able = (d for d in dict.fromkeys(repaired) if d is not None and d.alike not in known and solver.solve(d).feasible)
    return tuple(islice(able, count))


def _near(space: Space, decision: Decision) -> Iterator[Decision]:
    for number, step in enumerate(decision.steps):
        for place in _beside(space.options[step.method], step):
            steps = (*decision.steps[:number], place, *decision.steps[number + 1 :])
            moved = Decision.of(*steps, shares=decision.shares)
            if space.allowed(moved):
                yield moved
    for giver, taker in permutations(range(len(decision.steps)), 2):
        yield Decision(decision.steps, _shifted(decision.shares, giver, taker))


def _beside(options: tuple[Step, ...], step: Step) -> Iterator[Step]:
    """The same pass one place earlier and one later, at the same kind of site and in as many stages."""
    alike = [s for s in options if (s.kind, len(s.places), s.modality) == (step.kind, len(step.places), step.modality)]
    where = alike.index(step)
    yield from alike[max(0, where - 1) : where]
    yield from alike[where + 1 : where + 2]


def _shifted(shares: tuple[float, ...], giver: int, taker: int) -> tuple[float, ...]:
    moved = min(_MOVED, shares[giver] / 2, shares[taker])
    change = {giver: -moved, taker: moved}
    return tuple(share + change.get(number, 0.0) for number, share in enumerate(shares))
