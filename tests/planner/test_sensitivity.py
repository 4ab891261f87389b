"""A file of what single passes lose alone: another budget measures none of it again, and no other model takes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import foveate
from foveate.common.errors import BadInput
from foveate.ir.budget import Budget
from foveate.ir.graph import Graph
from foveate.ir.plan import Plan
from foveate.planner.fidelity.fidelity import Fidelity
from foveate.planner.job import Job
from foveate.planner.search.solver import Solver
from foveate.planner.search.space import Space
from foveate.planner.studies.sensitivity import kept_sensitivity


class Looked:
    """A judge that counts how often it is asked for a look at single passes."""

    def __init__(self, judge: Any) -> None:
        self.judged = judge
        self.singles = 0

    def judge(self, plan: Plan, *, give_up: Callable[[Fidelity], bool] | None = None) -> Fidelity | None:
        self.singles += give_up is not None and len(plan.placements) == 1
        found: Fidelity | None = self.judged.judge(plan, give_up=give_up)
        return found


@pytest.fixture
def job_for(graph: Graph, token_cost: Any, known_judge: Any) -> Callable[[str], tuple[Job, Looked]]:
    """A job for a budget, and its judge."""

    def make(budget: str) -> tuple[Job, Looked]:
        budgets = (Budget.parse(budget),)
        judge = Looked(known_judge({"random": 3.0}))
        solver = Solver(Space.of(graph, ("divprune", "fastv")), token_cost(), budgets)
        return Job(None, solver, budgets, (), (), lambda _: judge, measure=False), judge

    return make


def screened(job: Job, place: Path) -> dict[str, float]:
    """What the screening measured first of every step; the file is kept at `place`."""
    with kept_sensitivity(place, job.question()) as known:
        search = replace(job, sensitivity=known).search(trials=1, study=None)
    return {str(step): points[0].value for step, points in search.screen.points.items()}


def test_another_budget_measures_no_pass_again(job_for: Any, tmp_path: Path) -> None:
    place = tmp_path / "sensitivity.yaml"
    (first, asked), (near, again), (far, more) = job_for("ttft<=60%"), job_for("ttft<=58%"), job_for("ttft<=20%")
    wanted = screened(first, place)
    assert asked.singles > 4
    assert screened(near, place) == pytest.approx(wanted, abs=1e-6)  # as the file rounds them
    fresh = job_for("ttft<=58%")
    screened(fresh[0], tmp_path / "fresh.yaml")
    assert again.singles <= fresh[1].singles - len(wanted)  # no step is screened; the best are looked at closer
    before = place.read_text()
    screened(far, place)  # a budget far off asks where it drops, and the file grows by that
    assert more.singles > again.singles
    assert len(place.read_text()) > len(before)


def test_what_was_measured_is_kept_where_the_search_stops(job_for: Any, tmp_path: Path) -> None:
    place = tmp_path / "sensitivity.yaml"
    job, _ = job_for("ttft<=60%")

    def stop(what: str, done: int, total: int) -> None:
        if what == "screen" and done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        screened(replace(job, progress=stop), place)
    with kept_sensitivity(place, job.question()) as known:
        assert len(known) == 3


def test_a_search_that_adds_nothing_writes_nothing(job_for: Any, tmp_path: Path) -> None:
    place = tmp_path / "sensitivity.yaml"
    job, _ = job_for("ttft<=60%")
    screened(job, place)
    written = place.stat().st_mtime_ns
    screened(job, place)
    assert place.stat().st_mtime_ns == written


@pytest.mark.parametrize("key", ["model", "workload", "samples", "weights", "judged_by"])
def test_measurements_of_something_else_are_refused(job_for: Any, tmp_path: Path, key: str) -> None:
    place = tmp_path / "sensitivity.yaml"
    job, _ = job_for("ttft<=60%")
    screened(job, place)
    question = {**job.question(), key: "another"}
    with (
        pytest.raises(BadInput, match=rf"measurements of something else \({key} .* instead of 'another'\)"),
        kept_sensitivity(place, question),
    ):
        pytest.fail("it was taken")


def test_a_malformed_file_is_named_with_its_line(job_for: Any, tmp_path: Path) -> None:
    place = tmp_path / "sensitivity.yaml"
    job, _ = job_for("ttft<=60%")
    screened(job, place)
    text = place.read_text()
    place.write_text(text.replace("measurements:\n", "measurements:\n  fastv@decoder.layers.1:\n  - [2.0, 0.5, 0.9]\n"))
    line = text.splitlines().index("measurements:") + 3
    with pytest.raises(BadInput, match=rf"sensitivity\.yaml.*{line}"), kept_sensitivity(place, job.question()):
        pytest.fail("it was taken")


def test_a_folder_that_is_missing_is_said_before_the_search(job_for: Any, tmp_path: Path) -> None:
    job, judge = job_for("ttft<=60%")
    with pytest.raises(BadInput, match="does not exist; create it first"):
        screened(job, tmp_path / "nowhere" / "sensitivity.yaml")
    assert judge.singles == 0


def test_without_weights_there_is_nothing_to_keep(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="leave `sensitivity` out"):
        foveate.plan("llava-1.5-7b", budget="ttft<=60%", device="generic-cpu", sensitivity=tmp_path / "s.yaml")
