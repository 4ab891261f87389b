"""What a study was measured on: equal on every machine for the same samples and weights, else different."""

from __future__ import annotations

import copy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from foveate.common.errors import BadInput
from foveate.ir.budget import Budget
from foveate.ir.graph import Graph
from foveate.planner.fidelity.samples import CalibrationSample
from foveate.planner.job import Job
from foveate.planner.search.solver import Solver
from foveate.planner.search.space import Space
from foveate.planner.studies.identity import samples_identity, weights_identity
from foveate.planner.studies.study import open_study

ELSEWHERE = """
import torch
from foveate.planner.fidelity.samples import CalibrationSample
from foveate.planner.studies.identity import samples_identity, weights_identity

pixels = torch.arange(24.0).reshape(2, 3, 4).transpose(1, 2)
samples = [CalibrationSample({"pixel_values": pixels, "input_ids": torch.ones(1, 2).long()}, "a")]
line = torch.nn.Linear(3, 2)
torch.nn.init.constant_(line.weight, 0.5), torch.nn.init.zeros_(line.bias)
found = f"{samples_identity(samples)} {weights_identity(line)}"
"""


def test_another_process_finds_the_same() -> None:
    here: dict[str, Any] = {}
    exec(ELSEWHERE, here)
    environment = {"PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-P", "-c", f"{ELSEWHERE}\nprint(found)"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.stdout.strip() == here["found"], done.stderr


def test_samples_are_what_is_asked_and_answered(samples: list[CalibrationSample]) -> None:
    same = [replace(s, inputs={n: s.inputs[n].clone() for n in reversed(s.inputs)}, origin="there") for s in samples]
    known = samples_identity(samples)
    assert samples_identity(same) == known
    brighter = dict(samples[-1].inputs)
    brighter["pixel_values"] = brighter["pixel_values"].clone()
    brighter["pixel_values"][0, 2, 40, 40] += 1
    wider = {**samples[-1].inputs, "pixel_values": samples[-1].inputs["pixel_values"].double()}
    others = [
        samples[::-1],
        samples[:-1],
        [*samples[:-1], replace(samples[-1], answer="a cat")],
        [*samples[:-1], replace(samples[-1], answer="None")],
        [*samples[:-1], replace(samples[-1], inputs=brighter)],
        [*samples[:-1], replace(samples[-1], inputs=wider)],
    ]
    found = [known, *map(samples_identity, others)]
    assert len(set(found)) == len(found)
    assert [each.split()[0] for each in found[:3]] == ["10", "10", "9"]


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.bfloat16, torch.float32])
def test_inputs_of_every_kind_are_told_apart(dtype: torch.dtype) -> None:
    def of(*values: int, shape: tuple[int, ...] = (1, 2)) -> str:
        return samples_identity([CalibrationSample({"x": torch.tensor(values).to(dtype).reshape(shape)})])

    found = [of(0, 1), of(1, 0), of(0, 1, shape=(2, 1)), of(1, shape=()), of(shape=(1, 0))]
    assert len(set(found)) == len(found)


def test_weights_are_told_apart_by_any_layer(model: Any) -> None:
    known = weights_identity(model)
    other = copy.deepcopy(model)
    assert weights_identity(other) == known
    for name, parameter in other.named_parameters():
        with torch.no_grad():
            before = parameter.clone()
            parameter.mul_(1.5).add_(0.1)
            assert weights_identity(other) != known, name
            parameter.copy_(before)
    assert weights_identity(other) == known


def test_weights_of_half_precision_or_kept_elsewhere_have_an_identity() -> None:
    with torch.device("meta"):
        away = torch.nn.Linear(3, 2)
    half = torch.nn.Linear(300, 200, dtype=torch.bfloat16)
    assert weights_identity(away) != weights_identity(half)
    assert weights_identity(half) == weights_identity(half.float())


def test_a_study_of_other_samples_or_weights_is_refused(
    graph: Graph, token_cost: Any, known_judge: Any, samples: list[CalibrationSample], model: Any, tmp_path: Path
) -> None:
    budgets, place = (Budget.parse("ttft<=60%"),), str(tmp_path / "study.db")
    solver = Solver(Space.of(graph, ("fastv",)), token_cost(), budgets)
    job = Job(model, solver, budgets, samples, samples, lambda _: known_judge({}), measure=False)
    for _ in range(2):
        open_study(place, question=job.question())
    with pytest.raises(BadInput, match=r"searches for something else \(samples '10 \(\w+\)' instead of '10 \(\w+\)'\)"):
        replace(job, asked=samples[::-1]).search(trials=1, study=place)
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.lm_head.weight.add_(1.0)
    with pytest.raises(BadInput, match=r"searches for something else \(weights '\w+' instead of '\w+'\)"):
        replace(job, model=other).search(trials=1, study=place)
