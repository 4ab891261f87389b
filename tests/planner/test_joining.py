"""A worker that joins: it needs the same question and a live model, and stops where the study is complete."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from foveate.common.errors import BadInput
from foveate.ir.budget import Budget
from foveate.ir.graph import Graph
from foveate.planner.job import Job
from foveate.planner.search.solver import Solver
from foveate.planner.search.space import Space
from foveate.planner.studies.joining import join, join_job

TRIALS = 16


@pytest.fixture
def job(graph: Graph, token_cost: Any, known_judge: Any) -> Job:
    budgets = (Budget.parse("ttft<=60%"),)
    space = Space.of(graph, ("divprune", "fastv"))
    return Job(None, Solver(space, token_cost(), budgets), budgets, (), (), lambda _: known_judge({}), measure=False)


def test_a_complete_study_needs_no_more_workers(job: Job, tmp_path: Path) -> None:
    place = str(tmp_path / "study.db")
    ended = job.search(trials=TRIALS, study=place).ended
    assert ended >= TRIALS
    assert join_job(job, place) == ended


def test_a_worker_goes_on_where_another_one_stopped(job: Job, tmp_path: Path) -> None:
    """The first worker is interrupted after a few trials; the one that joins brings the study to its end."""
    place = str(tmp_path / "study.db")

    def stop(what: str, done: int, total: int) -> None:
        if what == "search" and done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replace(job, progress=stop).search(trials=TRIALS, study=place)
    assert join_job(job, place) >= TRIALS


def test_another_question_is_refused(job: Job, tmp_path: Path) -> None:
    place = str(tmp_path / "study.db")
    job.search(trials=1, study=place)
    with pytest.raises(BadInput, match="searches for something else"):
        join_job(replace(job, seed=1), place)
    with pytest.raises(BadInput, match="measured False instead of True"):  # other counts, other plans
        join_job(replace(job, measure=True), place)
    with pytest.raises(BadInput, match="start it first"):
        join_job(job, str(tmp_path / "other.db"))


def test_a_worker_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no weights"):
        join("llava-1.5-7b", study=str(tmp_path / "study.db"), budget="ttft<=60%", device="generic-cpu")
