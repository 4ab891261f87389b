"""The search on a judge whose best plan is known: repeatable, resumable, and not beaten by exhaustive search."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest

from foveate.common.errors import BadInput
from foveate.ir.budget import Budget
from foveate.planner.search import Search
from foveate.planner.solver import Solver
from foveate.planner.space import Decision, Space
from foveate.planner.study import best_of, open_study
from foveate.planner.warm_start import analytic_spot, placed_at, promising_pairs

BUDGET = [Budget.parse("ttft<=60%")]
HARM = {"divprune": 0.2, "fastv": 0.15, "fastervlm": 0.5}


def best(search: Search, trials: int) -> tuple[str, float]:
    found = search.run(trials)[0]
    return str(found.solution.placements), found.value


def test_the_same_seed_gives_the_same_plan(make_search: Callable[..., Search]) -> None:
    first = best(make_search(BUDGET, seed=3, harm=HARM), 26)
    assert first == best(make_search(BUDGET, seed=3, harm=HARM), 26)


def test_a_study_taken_up_again_ends_as_in_one_go(make_search: Callable[..., Search], tmp_path: Path) -> None:
    place = str(tmp_path / "study.db")
    make_search(BUDGET, place=place, harm=HARM).run(7)
    make_search(BUDGET, place=place, harm=HARM).run(18)
    parts = make_search(BUDGET, place=place, harm=HARM)
    whole = make_search(BUDGET, harm=HARM)
    assert best(parts, 26) == best(whole, 26)
    assert [t.params for t in parts.study.trials] == [t.params for t in whole.study.trials]
    assert [t.value for t in parts.study.trials] == [t.value for t in whole.study.trials]


def test_what_was_measured_is_not_measured_again(make_search: Callable[..., Search], tmp_path: Path) -> None:
    place = str(tmp_path / "study.db")
    first = make_search(BUDGET, place=place, harm=HARM)
    first.run(14)
    again = make_search(BUDGET, place=place, harm=HARM)
    again.run(14)
    assert first.judge.calls > 0  # type: ignore[attr-defined]
    assert again.judge.calls == 0  # type: ignore[attr-defined]
    assert again.evaluated == first.evaluated


def test_an_interrupted_trial_is_done_again(make_search: Callable[..., Search], tmp_path: Path) -> None:
    place = str(tmp_path / "study.db")
    search = make_search(BUDGET, place=place, harm=HARM)
    judge, calls = search.judge.judge, []

    def interrupted(plan: Any, **options: Any) -> Any:
        calls.append(plan)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return judge(plan, **options)

    search.judge.judge = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        search.run(26)
    assert search.ended == 3
    again = make_search(BUDGET, place=place, harm=HARM)
    assert best(again, 26) == best(make_search(BUDGET, harm=HARM), 26)
    assert again.ended == 26


def test_every_single_pass_is_measured_first(make_search: Callable[..., Search]) -> None:
    search = make_search(BUDGET, harm=HARM)
    search.run(len(search.singles))
    tried = {e.solution.decision for e in search.ranked()}
    assert tried == set(search.singles)


def test_the_search_is_nearly_as_good_as_trying_everything(make_search: Callable[..., Search]) -> None:
    search = make_search(BUDGET, harm=HARM)
    solver, judge = search.solver, search.judge
    shares = [i / 16 for i in range(1, 16)]
    decisions = [*search.singles]
    decisions += [Decision(None, b, k, 0.0) for b in solver.space.second for k in solver.space.layers]
    decisions += [
        Decision(a, b, k, s) for a in solver.space.first for b in solver.space.second for k in (1, 2, 3) for s in shares
    ]
    solved = [s for d in decisions if solver.space.allowed(d) and (s := solver.solve(d)).feasible]
    from foveate.ir.plan import Plan

    values = [found.value for s in solved if (found := judge.judge(Plan.of(*s.placements))) is not None]
    assert len(values) > 500
    assert best(make_search(BUDGET, harm=HARM), 50)[1] >= 0.99 * max(values)


def test_results_hold_the_budget(make_search: Callable[..., Search]) -> None:
    search = make_search(BUDGET, harm=HARM)
    ranked = search.run(30)
    base = search.solver.baseline.ttft_ms
    assert all(e.solution.prediction.ttft_ms <= 0.6 * base for e in ranked)
    assert [e.value for e in ranked] == sorted((e.value for e in ranked), reverse=True)


def test_the_inverse_goal_takes_the_lowest_ttft_above_the_floor(make_search: Callable[..., Search]) -> None:
    search = make_search([Budget.parse("fidelity>=0.9")], harm=HARM, floor=0.9)
    ranked = search.run(30)
    assert all(e.value >= 0.9 for e in ranked)
    times = [e.solution.prediction.ttft_ms for e in ranked]
    assert times == sorted(times)
    assert times[0] < search.solver.baseline.ttft_ms


def test_hopeless_trials_are_given_up_but_queued_ones_never(make_search: Callable[..., Search]) -> None:
    search = make_search(BUDGET, harm={**HARM, "pool": 40.0, "random": 40.0, "uniform": 40.0})
    search.run(60)
    states = [t.state for t in search.study.trials]
    queued = len(search.singles)
    assert optuna.trial.TrialState.PRUNED not in states[:queued]
    assert optuna.trial.TrialState.PRUNED in states[queued:]


def test_a_study_of_another_search_is_refused(tmp_path: Path) -> None:
    place = str(tmp_path / "study.db")
    open_study(place, question={"seed": 0, "budget": ["ttft<=60%"]})
    with pytest.raises(BadInput, match=r"searches for something else \(budget"):
        open_study(place, question={"seed": 0, "budget": ["ttft<=50%"]})


def test_a_place_that_holds_no_study_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "notes.db"
    place.write_text("these are not the trials that you are looking for" * 40)
    with pytest.raises(BadInput, match="cannot be opened"):
        open_study(str(place), question={})
    with pytest.raises(BadInput, match="cannot be read"):
        best_of(str(tmp_path / "nowhere" / "study.db"), 3)


def test_pairs_that_conflict_are_tried_later(graph: Any, token_cost: Any) -> None:
    """Two pairs whose passes measured the same differ by the table's discount alone."""
    solver = Solver(Space.of(graph), token_cost(), BUDGET)
    firsts = {Decision(first=name): 0.9 for name in ("divprune", "fastervlm")}
    pairs = promising_pairs(solver, {**firsts, Decision(None, "fastv", 2, 0.0): 0.9})
    assert pairs == [("divprune", "fastv"), ("fastervlm", "fastv")]


def test_the_analytic_spot_reaches_the_budget(graph: Any, token_cost: Any) -> None:
    solver = Solver(Space.of(graph), token_cost(), BUDGET)
    spot = analytic_spot(solver)
    assert spot is not None
    decision = placed_at(solver, "uniform", "fastv", spot)
    assert decision is not None
    assert solver.solve(decision).feasible
