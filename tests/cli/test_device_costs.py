"""`foveate devices NAME --model MODEL`: what a model would cost there, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from foveate.cli.models import config_source
from foveate.cost_models import CostModel, load_profile
from foveate.ir.tracing import trace

from .conftest import Foveate

WORKLOAD = "image=1x224x224,text=16,new=9,concurrency=4,turns=2"


def test_costs_as_json_are_the_models(foveate: Foveate) -> None:
    result = foveate(
        "devices", "l4", "--model", "testbed", "--workload", WORKLOAD, "--weights", "int8", "--format", "json"
    )
    data = json.loads(result.out)
    graph = trace(config_source("testbed"), WORKLOAD)
    expected = CostModel(load_profile("l4"), dtype="bfloat16", weight_dtype="int8").predict(graph)
    for figure in ("ttft_ms", "tpot_ms", "memory_bytes", "kv_bytes", "queued_ttft_ms", "later_turn_ms"):
        assert data[figure] == pytest.approx(getattr(expected, figure))
    assert [stage["name"] for stage in data["stages"]] == [stage.name for stage in graph.stages]
    assert {limit["site"] for limit in data["limits"]} >= {"image.projector.output", "decoder.layers.1"}


def test_costs_in_words(foveate: Foveate) -> None:
    result = foveate("devices", "generic-cpu", "--model", "testbed", "--workload", WORKLOAD)
    assert result.code == 0
    for words in ("time to first token", "with 4 clients", "turn 2", "nothing at decoder.layers.1 can beat"):
        assert words in result.out


def test_costs_under_a_plan(foveate: Foveate, tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text("foveate: 1\nplacements:\n- {pass: uniform, site: image.projector.output, keep: 0.25}\n")
    arguments = ("devices", "l4", "--model", "testbed", "--format", "json")
    whole, less = (json.loads(foveate(*arguments, *more).out) for more in ((), ("--plan", plan)))
    assert less["kv_bytes"] < whole["kv_bytes"]
    assert less["limits"] == []
    assert "passes" in foveate(*arguments[:4], "--plan", plan).out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--model", "testbed"), "needs a device and a model"),
        (("l4", "--plan", "plan.yaml"), "needs a device and a model"),
        (("l44", "--model", "testbed"), "did you mean 'l4'"),
        (("t4", "--model", "testbed", "--dtype", "bf16"), "no peak rate for bfloat16"),
        (("t4", "--model", "testbed", "--dtype", "bf61"), "did you mean 'bf16'"),
        (("t4", "--model", "testbed", "--weights", "int5"), "did you mean"),
    ],
)
def test_what_cannot_be_predicted_is_refused(foveate: Foveate, arguments: tuple[str, ...], complaint: str) -> None:
    result = foveate("devices", *arguments)
    assert result.code == 2
    assert complaint in result.sentence
