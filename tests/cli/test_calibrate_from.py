"""`foveate calibrate --from RUNS`: times of a user's own correct a profile, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from foveate.cli.models import traced
from foveate.cost_models import CostModel, load_profile
from foveate.ir.plan import load
from foveate.runtime import resolve

from .conftest import Foveate

PLAN = "foveate: 1\nplacements:\n- {pass: uniform, site: image.projector.output, keep: 0.25}\n"
WORKLOADS = tuple(f"image=1x224x224,text={text},new=9" for text in (8, 32, 64, 128))


def _runs(folder: Path, *lines: dict[str, Any] | str) -> Path:
    path = folder / "runs.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n")
    return path


def _slower(factor: float) -> list[dict[str, Any]]:
    """Runs of the testbed that took `factor` times what the generic CPU's profile says."""
    model, lines = CostModel(load_profile("generic-cpu")), []
    for workload in WORKLOADS:
        found = model.predict(traced("testbed", workload))
        times = {"ttft_ms": factor * found.ttft_ms, "tpot_ms": factor * found.tpot_ms}
        lines.append({"model": "testbed", "workload": workload, **times})
    return lines


def test_predictions_are_drawn_to_the_users_times(foveate: Foveate, tmp_path: Path) -> None:
    runs, output = _runs(tmp_path, *_slower(1.5), ""), tmp_path / "corrected.yaml"
    result = foveate("calibrate", "--profile", "generic-cpu", "--from", runs, "-o", output)
    assert result.code == 0
    assert "4 runs" in result.out
    assert "median error of TTFT 33% without the correction" in result.out
    graph = traced("testbed", "image=1x224x224,text=48,new=9")
    bare, corrected = (CostModel(load_profile(one)).predict(graph) for one in ("generic-cpu", output))
    assert corrected.ttft_ms == pytest.approx(1.5 * bare.ttft_ms, rel=0.05)
    assert corrected.tpot_ms == pytest.approx(1.5 * bare.tpot_ms, rel=0.05)
    assert corrected.interval[1] / corrected.interval[0] < bare.interval[1] / bare.interval[0]


def test_a_run_may_have_a_plan_beside_its_file(foveate: Foveate, tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text(PLAN)
    placed = resolve(traced("testbed", WORKLOADS[0]), load(tmp_path / "plan.yaml"))
    time = 2 * CostModel(load_profile("generic-cpu")).predict(placed).ttft_ms
    runs = _runs(tmp_path, {"model": "testbed", "workload": WORKLOADS[0], "plan": "plan.yaml", "ttft_ms": time})
    output = tmp_path / "corrected.yaml"
    result = foveate("calibrate", "--profile", "generic-cpu", "--from", runs, "-o", output)
    assert "median error of TTFT 50% without the correction" in result.out
    correction = load_profile(output).correction
    assert correction is not None
    assert correction.tpot is None


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{not json", "line 2: this is not JSON"),
        ("[1]", "line 2: an object is expected"),
        ({"model": "testbed", "ttft": 3.0}, "line 2: unknown key 'ttft': did you mean 'ttft_ms'"),
        ({"model": "testbed"}, "line 2: ttft_ms: Field required"),
        ({"model": "testbed", "ttft_ms": 0.0}, "line 2: ttft_ms"),
        ({"model": "testbed", "ttft_ms": 1.0, "tpot_ms": "2"}, "line 2: tpot_ms"),
        ({"model": "testbed", "ttft_ms": 1.0, "workload": "image=huge"}, "line 2: "),
        ({"model": "nowhere", "ttft_ms": 1.0}, "line 2: "),
        ({"model": "testbed", "ttft_ms": 1.0, "plan": "nowhere.yaml"}, "line 2: "),
    ],
)
def test_a_line_that_cannot_be_used_is_named(
    foveate: Foveate, tmp_path: Path, line: dict[str, Any] | str, complaint: str
) -> None:
    runs, output = _runs(tmp_path, {"model": "testbed", "ttft_ms": 5.0}, line), tmp_path / "corrected.yaml"
    result = foveate("calibrate", "--profile", "generic-cpu", "--from", runs, "-o", output)
    assert result.code == 2
    assert complaint in result.sentence
    assert str(runs) in result.sentence
    assert not output.exists()


def test_a_file_without_runs_is_refused(foveate: Foveate, tmp_path: Path) -> None:
    runs = _runs(tmp_path, "")
    assert "it holds no run" in foveate("calibrate", "--profile", "l4", "--from", runs, "-o", tmp_path / "o").sentence


def test_a_profile_to_correct_needs_times(foveate: Foveate, tmp_path: Path) -> None:
    assert "add --from RUNS" in foveate("calibrate", "--profile", "l4", "-o", tmp_path / "o").sentence


def test_a_missing_file_is_refused_before_anything_is_measured(foveate: Foveate, tmp_path: Path) -> None:
    assert "no such file" in foveate("calibrate", "--from", tmp_path / "no.jsonl", "-o", tmp_path / "o").sentence
