"""Measured figures against budgets, and who reaches the final."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from foveate.ir.budget import Budget
from foveate.ir.workload import Workload
from foveate.planner.search.decision import Decision, Step
from foveate.planner.search.search import Search
from foveate.planner.verify import Timing, excess, finalists
from foveate.runtime import Figures

WORK = Workload.parse("image=1x224x224,text=16,new=5")


def figures(ttft: float, *, tpot: float | None = 2.0, peak: int = 1000) -> Figures:
    return Figures(ttft, (ttft, ttft), np.full(5, ttft), tpot, 0, peak, 5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ttft<=60%", 0.5 / 0.6 - 1),
        ("ttft<=8ms", 10 / 8 - 1),
        ("tpot<=50%", 1.0),
        ("latency<=18ms", 0.0),
        ("memory<=80%", 0.5 / 0.8 - 1),
        ("throughput>=50/s", 50 / (1000 / 18) - 1),
    ],
)
def test_measured_figures_against_their_limits(text: str, expected: float) -> None:
    timing = Timing(figures(10.0, peak=500), figures(20.0))
    assert excess(Budget.parse(text), timing, WORK) == pytest.approx(expected)


def test_what_one_request_cannot_show_is_not_measured() -> None:
    timing = Timing(figures(10.0), figures(20.0))
    assert excess(Budget.parse("throughput>=50/s"), timing, replace(WORK, concurrency=4)) is None
    untimed = Timing(figures(10.0, tpot=None), figures(20.0, tpot=None))
    assert excess(Budget.parse("latency<=80%"), untimed, WORK) is None


def test_the_final_has_the_best_and_the_best_singles(make_search: Callable[..., Search]) -> None:
    first, second = Step("divprune", ("projector.output",)), Step("fastv", ("decoder.layers.2",))
    later, last = Step("fastv", ("decoder.layers.3",)), Step("fastv", ("decoder.layers.4",))
    pair, near, like = (Decision.of(first, other) for other in (second, later, last))
    ranked: Any = [
        SimpleNamespace(solution=SimpleNamespace(decision=decision))
        for decision in (pair, near, like, *map(Decision.of, (second, later, last, first)))
    ]
    alone = [Decision.of(second), Decision.of(later), Decision.of(first)]
    assert finalists(ranked) == [pair, near, *alone, Decision.of(last)]
    assert finalists(ranked, best=3, singles=2) == [pair, near, Decision.of(second), Decision.of(later)]
