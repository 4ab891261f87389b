"""The explanation: what each placement buys, how fidelity is known, what was not chosen and why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from foveate.ir.budget import Budget
from foveate.ir.graph import Graph
from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.ir.plan_schema import (
    AblationRecord,
    FidelityRecord,
    PredictedRecord,
    RunnerUpRecord,
    SearchRecord,
)
from foveate.ir.workload import Workload
from foveate.planner import explain
from foveate.planner.explaining.ablation import ablation, parts
from foveate.planner.search.solver import Solver
from foveate.planner.search.space import Space

POOL = Placement("pool", "image.projector.output", 0.25)
FASTV = Placement("fastv", "decoder.layers.2", 0.5)
PLAN = Plan(
    (POOL, FASTV),
    workload=Workload.parse("image=1x224x224,text=16,new=4"),
    predicted=PredictedRecord(ttft_ms=10.0, tpot_ms=1.0, memory_bytes=1000, baseline_ttft_ms=40.0),
    fidelity=FidelityRecord(kind="measured", value=0.9, samples=7),
    ablation=(
        AblationRecord(without=["pool@image.projector.output"], ttft_ms=25.0, fidelity=0.96, kind="measured"),
        AblationRecord(without=["fastv@decoder.layers.2"], ttft_ms=12.0, fidelity=0.88, kind="measured"),
    ),
    search=SearchRecord(
        seed=0, trials=9, evaluated=8, runners_up=[RunnerUpRecord(plan="random@somewhere", value=0.85, ttft_ms=9.5)]
    ),
)


def test_each_placement_says_what_it_buys() -> None:
    text = explain(PLAN)
    assert "pool@image.projector.output saves 15 ms of predicted TTFT and costs 0.0600 of fidelity" in text
    assert "fastv@decoder.layers.2 saves 2 ms of predicted TTFT and adds 0.0200 of fidelity" in text


def test_what_was_not_chosen_stands_beside_it() -> None:
    assert "0.8500  9.5 ms  random@somewhere" in explain(PLAN)


def test_the_pace_of_the_search_is_told() -> None:
    paced = replace(PLAN, search=PLAN.search.model_copy(update={"pace": {"ttft<=60%": 0.931}}))
    assert "Under ttft<=60% the clock found 0.93 times what was predicted" in explain(paced)
    assert "the clock found" not in explain(PLAN)
    assert Plan.from_yaml(paced.to_yaml()) == paced


def test_the_front_is_told_from_the_fastest_to_the_most_faithful() -> None:
    """Ten points of 4 to 40 ms, of which the first, the last and four between them are enough."""
    front = [RunnerUpRecord(plan=f"plan {i}", value=i / 10, ttft_ms=4.0 * i) for i in range(1, 11)]
    known = replace(PLAN, search=PLAN.search.model_copy(update={"front": front}))
    lines = explain(known).splitlines()
    start = lines.index("Measured on the way, each the best of all for its predicted TTFT:")
    told = lines[start + 1 : start + 7]
    assert told[0] == "   TTFT 10.0 % -> fidelity 0.1000  plan 1"
    assert told[-1] == "   TTFT 100.0 % -> fidelity 1.0000  plan 10"
    assert len([line for line in lines if "   TTFT " in line]) == 6
    assert len(set(told)) == 6
    assert "on the way" not in explain(PLAN)


def test_a_front_without_weights_is_expected_and_one_by_answers_a_score() -> None:
    search = PLAN.search.model_copy(update={"front": [RunnerUpRecord(plan="a plan", value=0.5, ttft_ms=20.0)]})
    prior = FidelityRecord(kind="prior", value=0.9, samples=20)
    assert "Expected on the way" in explain(replace(PLAN, search=search, fidelity=prior))
    task = FidelityRecord(kind="task", value=0.9, samples=20)
    assert "TTFT 50.0 % -> task score 0.5000  a plan" in explain(replace(PLAN, search=search, fidelity=task))


def test_passes_that_the_model_refuses_are_named_with_its_reason() -> None:
    refused = {"a": "no [CLS] token", "b": "no grid", "c": "no [CLS] token"}
    text = explain(replace(PLAN, search=PLAN.search.model_copy(update={"left_out": refused})))
    assert "Not possible with this model: a, c; no [CLS] token." in text
    assert "Not possible with this model: b; no grid." in text
    assert "Not possible" not in explain(PLAN)


def test_passes_that_the_workload_forbids_are_named_with_the_reason() -> None:
    turns = replace(PLAN, workload=Workload.parse("image=1x224x224,turns=3"))
    (line,) = [line for line in explain(turns).splitlines() if line.startswith("Not allowed here: ")]
    assert "fastv" in line
    assert "divprune" not in line
    assert "later turns miss the rest" in line
    assert "Not allowed here" not in explain(PLAN)


def test_a_prior_is_never_taken_for_a_measurement() -> None:
    prior = FidelityRecord(kind="prior", value=0.9, samples=20, error=0.04, note="expected from published tables")
    text = explain(replace(PLAN, fidelity=prior))
    assert "Fidelity (prior): 0.9000" in text
    assert "20 published rows" in text
    assert "No weights were run; the prior misses sources that it has not seen by 0.040" in text
    assert "Without published results, so not considered:" in text
    assert "random" in text.split("not considered:")[1]


def test_stages_of_a_schedule_stand_or_fall_together() -> None:
    staged = [replace(FASTV, site=f"decoder.layers.{layer}", group="fastv") for layer in (2, 4)]
    assert parts([POOL, *staged]) == [(POOL,), tuple(staged)]


def test_the_ablation_judges_and_prices_what_is_left(graph: Graph, token_cost: Any, known_judge: Any) -> None:
    solver = Solver(Space.of(graph, ("divprune", "fastv")), token_cost(), (Budget.parse("ttft<=60%"),))
    first, second = Placement("divprune", "image.projector.output", 0.5), FASTV
    judge = known_judge({})
    without_first, without_second = ablation(solver, (first, second), judge)
    assert without_first.without == ["divprune@image.projector.output"]
    for record, left in ((without_first, second), (without_second, first)):
        assert abs(record.ttft_ms / solver.predict((left,)).ttft_ms - 1) < 1e-5
        value = judge.judge(Plan.of(left))
        assert abs(record.fidelity - value.value) < 1e-5
        assert record.kind == "measured"
