"""Decisions that are a good one and one step more, which takes over a part of the dropping, or another in its place."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from itertools import combinations, islice, zip_longest

from .decision import Alike, Decision, Step
from .narrowing import remaining_after
from .solver import Solver
from .space import MOST_STEPS
from .surrogate import Surrogate

_KEPT = 0.65
"""What the new step keeps of the tokens that arrive: dropping gently and in stages often loses less than at once."""

_MOST_TAKEN, _PAIRED = 0.5, 3


def grown(
    solver: Solver,
    surrogate: Surrogate,
    decision: Decision,
    steps: Sequence[Step],
    *,
    known: Container[Alike] = (),
) -> Iterator[Decision]:
    """`decision` with one of `steps` more, those of each kind of site in turn, the least expected loss first.

    How passes interact deep in a model is hardly foreseen from what each loses alone, so every kind has its turn. What
    is in `known`, forbidden or cannot hold the budgets is left out.
    """
    if not decision.steps or len(decision.steps) >= MOST_STEPS:
        return
    dropped = solver.solve(decision).dropped / solver.space.tokens
    able = dict[str, list[tuple[float, str, Decision]]]()
    for step in steps:
        made = _with(solver, decision, step, dropped)
        if made is not None and made.alike not in known:
            able.setdefault(step.kind, []).append((_expected(solver, surrogate, made), str(step), made))
    kinds = sorted(sorted(found, key=lambda item: item[:2]) for found in able.values())
    yield from (item[2] for row in zip_longest(*kinds) for item in row if item is not None)


def swapped(
    solver: Solver,
    surrogate: Surrogate,
    decision: Decision,
    steps: Sequence[Step],
    *,
    known: Container[Alike] = (),
) -> Iterator[Decision]:
    """A combination with another pass in the place of one of its own, each position in turn, least expected loss first.

    What is in `known`, forbidden or cannot hold the budgets is left out; a pass alone has its rivals among the others.
    """
    if len(decision.steps) < 2:
        return
    positions = []
    for number, old in enumerate(decision.steps):
        others = (step for step in steps if step.places == old.places and step.method != old.method)
        found = [made for step in others if (made := _instead(solver, decision, number, step)) is not None]
        fresh = (made for made in found if made.alike not in known)
        positions.append(sorted(fresh, key=lambda made: (_expected(solver, surrogate, made), str(made))))
    yield from (made for row in zip_longest(*positions) for made in row if made is not None)


def naive(solver: Solver, ranked: Sequence[Decision]) -> Iterator[Decision]:
    """Each two of the best passes, at their own best places with equal shares: what anyone would combine first."""
    places: dict[str, Step] = {}
    for decision in ranked:
        if decision.is_single:
            places.setdefault(decision.methods[0], decision.steps[0])
    for pair in combinations(islice(places.values(), _PAIRED), 2):
        if (able := solver.able(Decision.of(*pair))) is not None:
            yield able


def interleaved(lists: Iterable[Iterator[Decision]], *, count: int) -> tuple[Decision, ...]:
    """The first `count` of several lists, of each in turn, each decision once."""
    in_turn = (decision for row in zip_longest(*lists) for decision in row if decision is not None)
    return tuple(islice(dict.fromkeys(in_turn), count))


def _expected(solver: Solver, surrogate: Surrogate, made: Decision) -> float:
    part = solver.solve(made).dropped / solver.space.tokens
    return float(surrogate.loss(made, remaining_after(made, part)))


def _instead(solver: Solver, decision: Decision, number: int, step: Step) -> Decision | None:
    """`decision` with `step` in place of the one at `number`, the shares as they were; None where that cannot be."""
    steps = (*decision.steps[:number], step, *decision.steps[number + 1 :])
    return None if step in decision.steps else solver.able(Decision.of(*steps, shares=decision.shares))


def _with(solver: Solver, decision: Decision, step: Step, dropped: float) -> Decision | None:
    """`decision` and `step`, which keeps `_KEPT` of what would be left after it; None where that cannot be."""
    taken = min(_MOST_TAKEN, (1 - dropped) * (1 / _KEPT - 1) / max(dropped, 1e-9))
    shares = [*(share * (1 - taken) for share in decision.shares), taken]
    made = Decision.of(*decision.steps, step, shares=shares)
    return None if step in decision.steps else solver.able(made)
