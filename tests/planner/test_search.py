"""The search on a judge whose best plan is known: repeatable, resumable, and not beaten by exhaustive search."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest

from foveate.common.errors import BadInput
from foveate.ir.budget import Budget
from foveate.ir.plan import Plan
from foveate.planner.search.batch_solver import least_dropped
from foveate.planner.search.decision import Decision
from foveate.planner.search.front import FrontPoint, pareto
from foveate.planner.search.growth import naive
from foveate.planner.search.proposal import parameters, proposed
from foveate.planner.search.search import Search
from foveate.planner.search.warm_start import GROWN, ROUNDS
from foveate.planner.studies.study import WARM, best_of, open_study

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
    again = make_search(BUDGET, place=place, harm=HARM)
    assert best(again, 26) == best(make_search(BUDGET, harm=HARM), 26)
    assert again.ended == 26


def test_a_screening_that_was_interrupted_goes_on(make_search: Callable[..., Search], tmp_path: Path) -> None:
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
    again = make_search(BUDGET, place=place, harm=HARM)
    seen: list[Any] = []
    asked = again.judge.judge
    again.judge.judge = lambda plan, **options: seen.append(plan) or asked(plan, **options)  # type: ignore[method-assign]
    assert again.screen.points
    whole = make_search(BUDGET, harm=HARM)
    assert again.screen == whole.screen
    assert not {str(plan.placements) for plan in calls[:3]} & {str(plan.placements) for plan in seen}


def test_the_study_starts_with_the_best_singles_and_every_baseline(make_search: Callable[..., Search]) -> None:
    search = make_search(BUDGET, harm=HARM)
    search.run(len(search.first))
    tried = [Decision.from_data(t.user_attrs["decision"]) for t in search.study.trials]
    assert tried == search.first
    assert all(decision.is_single for decision in tried)
    assert {"random", "uniform", "pool"} <= {decision.methods[0] for decision in tried}
    assert search.first[0].methods == ("fastv",)


def test_combinations_are_queued_when_the_singles_are_done(make_search: Callable[..., Search]) -> None:
    search = make_search(BUDGET, harm=HARM)
    search.run(len(search.first) + ROUNDS[0][1])
    assert search.narrowed is not None
    assert search.narrowed.considered > 10_000
    trials = search.study.trials[len(search.first) :]
    tried = {tuple(Decision.from_data(t.user_attrs["decision"]).steps) for t in trials if "decision" in t.user_attrs}
    singles = [item.solution.decision for item in search.ranked() if item.solution.decision.is_single]
    paired = {decision.steps for decision in naive(search.solver, singles)}
    assert paired
    assert paired < tried
    assert tried - paired <= {decision.steps for decision in search.narrowed.best}


def test_the_best_so_far_grows_by_a_step(make_search: Callable[..., Search]) -> None:
    search = make_search(BUDGET, harm=HARM)
    rounds = [kind for kind, _ in ROUNDS]
    before = len(search.first) + sum(count for _, count in ROUNDS[: rounds.index(GROWN)])
    search.run(before)
    best = {item.solution.decision.steps for item in search.ranked()[:2]}
    search.run(before + 4)
    tried = [Decision.from_data(t.user_attrs["decision"]).steps for t in search.study.trials[before : before + 4]]
    single = next(item.solution.decision.steps for item in search.ranked() if item.solution.decision.is_single)
    assert len(tried) == 4
    assert all(any(set(known) < set(steps) for known in (*best, single)) for steps in tried)


def test_passes_that_a_model_refuses_together_do_not_stop_the_search(make_search: Callable[..., Search]) -> None:
    search = make_search(BUDGET, harm=HARM)
    judge = search.judge.judge

    def refusing(plan: Any, **options: Any) -> Any:
        if len({placement.method for placement in plan.placements}) > 1:
            raise BadInput("these two do not go together")
        return judge(plan, **options)

    search.judge.judge = refusing  # type: ignore[method-assign]
    ranked = search.run(len(search.first) + 8)
    assert ranked
    assert all(len(set(item.solution.decision.methods)) == 1 for item in ranked)
    assert "these two do not go together" in {t.user_attrs.get("refused") for t in search.study.trials}


@pytest.mark.parametrize("kind", ["tpe", "nsga2", "random"])
def test_every_sampler_is_repeatable(make_search: Callable[..., Search], kind: str) -> None:
    first, second = (make_search(BUDGET, harm=HARM, kind=kind) for _ in range(2))
    assert best(first, 24) == best(second, 24)
    assert [t.params for t in first.study.trials] == [t.params for t in second.study.trials]


def test_two_objectives_leave_a_front(make_search: Callable[..., Search]) -> None:
    search = make_search(BUDGET, harm=HARM, kind="nsga2")
    search.run(40)
    front = search.front()
    assert len(front) >= 3
    assert [p.ttft for p in front] == sorted(p.ttft for p in front)
    assert [p.value for p in front] == sorted(p.value for p in front)
    held = [t for t in search.study.best_trials if t.user_attrs.get("violation", 1) <= 0]
    assert {p.placements for p in front} == {t.user_attrs["key"] for t in held}


def test_the_front_leaves_out_what_is_beaten() -> None:
    points = [
        FrontPoint("a", 0.5, 0.9),
        FrontPoint("b", 0.5, 0.8),
        FrontPoint("c", 0.7, 0.9),
        FrontPoint("d", 0.8, 0.95),
    ]
    assert [p.placements for p in pareto(points)] == ["a", "d"]


def test_parameters_stand_for_their_decision(make_search: Callable[..., Search]) -> None:
    space = make_search(BUDGET).solver.space
    decisions = [Decision.of(step) for step in space.steps]
    decisions.append(Decision.of(space.options["divprune"][0], space.options["fastv"][-1], shares=(0.6, 0.4)))
    for decision in decisions:
        trial: Any = optuna.trial.FixedTrial(parameters(decision, space))
        found = proposed(trial, space)
        assert found.steps == decision.steps
        assert found.shares == pytest.approx(decision.shares)


def test_the_search_is_nearly_as_good_as_trying_everything(make_search: Callable[..., Search]) -> None:
    search = make_search(BUDGET, harm=HARM)
    solver, judge, steps = search.solver, search.judge, search.solver.space.steps
    early = [step for step in steps if step.kind == "projector.output"]
    late = [step for step in steps if step.kind == "decoder.layer" and len(step.places) == 1]
    shares = (0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9)
    decisions = [Decision.of(a, b, shares=(share, 1 - share)) for a in early for b in late for share in shares]
    dropped = least_dropped(solver, [d for d in decisions if solver.space.allowed(d)])
    solved = [solver.solution(decision, count) for decision, count in dropped.items()]
    solved += [s for step in (*early, *late) if (s := solver.solve(Decision.of(step))).feasible]
    values = [found.value for s in solved if (found := judge.judge(Plan.of(*s.placements))) is not None]
    assert len(values) > 500
    assert best(make_search(BUDGET, harm=HARM), 40)[1] >= 0.99 * max(values)


def test_results_hold_the_budget(make_search: Callable[..., Search]) -> None:
    search = make_search(BUDGET, harm=HARM)
    ranked = search.run(30)
    base = search.solver.baseline.ttft_ms
    assert all(e.solution.prediction.ttft_ms <= 0.6 * base for e in ranked)
    assert [e.value for e in ranked] == sorted((e.value for e in ranked), reverse=True)


def test_hopeless_trials_are_given_up_but_queued_ones_never(make_search: Callable[..., Search]) -> None:
    search = make_search(BUDGET, harm={**HARM, "pool": 40.0, "random": 40.0, "uniform": 40.0})
    queued = len(search.first) + sum(count for _, count in ROUNDS)
    search.run(queued + 20)
    states = [(t.state, WARM in t.user_attrs) for t in search.study.trials]
    assert (optuna.trial.TrialState.PRUNED, True) not in states
    assert (optuna.trial.TrialState.PRUNED, False) in states


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
