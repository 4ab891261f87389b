"""`foveate plan` without weights: presets, config folders and model types; fidelity is a prior and says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from foveate.ir.plan import load
from foveate.planner.priors.fit import published_fit

from .conftest import Foveate

DEVICE = ("--device", "h100-sxm")
VIDEO = ("--workload", "video=64x448x448,text=64,new=64")


def test_a_preset_is_planned_for_and_the_prior_is_named(foveate: Foveate, tmp_path: Path) -> None:
    output = tmp_path / "plan.yaml"
    shown = foveate("plan", "qwen2.5-vl-7b", *DEVICE, *VIDEO, "--budget", "ttft<=50%", "-o", output)
    assert shown.code == 0
    assert "Fidelity is a prior, nothing was run" in shown.out
    assert f"leave-one-source-out error {published_fit().error:.3f}" in shown.out
    plan = load(output)
    assert plan.fidelity is not None
    assert plan.predicted is not None
    assert plan.fidelity.kind == "prior"
    assert plan.predicted.ttft_ms <= 0.5 * (plan.predicted.baseline_ttft_ms or 0)
    assert plan.measured is None
    explained = foveate("explain", output).out
    assert "Fidelity (prior)" in explained
    assert "Best of what was not chosen" in explained
    assert "Without published results, so not considered:" in explained


def test_a_folder_with_a_configuration_alone_will_do(foveate: Foveate, checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((checkpoint / "config.json").read_bytes())
    output = tmp_path / "plan.yaml"
    shown = foveate("plan", tmp_path, "--device", "generic-cpu", "--budget", "fidelity>=0.9", "-o", output)
    assert shown.code == 0
    assert load(output).fidelity.value >= 0.9  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("budgets", "words"),
    [
        (["fidelity>=1.2"], "can never be held"),
        (["fidelity>=1", "ttft<=50%"], "contradict each other"),
        (["ttft<=50%", "ttft<=60%"], "limit the same figure twice"),
    ],
)
def test_contradictory_budgets_are_refused_with_a_sentence(
    foveate: Foveate, tmp_path: Path, budgets: list[str], words: str
) -> None:
    options = [option for budget in budgets for option in ("--budget", budget)]
    shown = foveate("plan", "llava-1.5-7b", *DEVICE, *options, "-o", tmp_path / "plan.yaml")
    assert shown.code == 2
    assert words in shown.sentence
    assert not list(tmp_path.iterdir())


def test_an_impossible_budget_says_which_limit_binds_and_nearest_writes_the_nearest(
    foveate: Foveate, checkpoint: Path, tmp_path: Path
) -> None:
    output = tmp_path / "plan.yaml"
    asked = ("plan", checkpoint, "--device", "generic-cpu", "--budget", "ttft<=1%", "--budget", "memory<=20GiB")
    shown = foveate(*asked, "-o", output)
    assert shown.code == 1
    complaint = shown.err.splitlines()[-1]
    assert "ttft<=1% cannot be held: its floor is" in complaint
    assert "the nearest plan is" in complaint
    assert not output.exists()
    assert foveate(*asked, "-o", output, "--nearest").code == 0
    assert load(output).placements


def test_sound_has_no_published_results(foveate: Foveate, tmp_path: Path) -> None:
    shown = foveate("plan", "whisper-tiny", *DEVICE, "--budget", "ttft<=80%", "-o", tmp_path / "plan.yaml")
    assert shown.code == 2
    assert "nothing is published about compressing audio" in shown.sentence


def test_a_study_needs_measurements(foveate: Foveate, checkpoint: Path, tmp_path: Path) -> None:
    asked = ("plan", checkpoint, "--device", "generic-cpu", "--budget", "ttft<=60%", "-o", tmp_path / "plan.yaml")
    assert "without weights nothing is measured" in foveate(*asked, "--study", tmp_path / "s.db").sentence
    assert "add --study" in foveate(*asked, "--join").sentence
    assert "add --calibration" in foveate(*asked, "--join", "--study", tmp_path / "s.db").sentence


def test_plans_without_weights_can_be_compared(foveate: Foveate, checkpoint: Path, tmp_path: Path) -> None:
    for name, budget in (("a", "fidelity>=0.97"), ("b", "fidelity>=0.9")):
        output = tmp_path / f"{name}.yaml"
        assert foveate("plan", checkpoint, "--device", "generic-cpu", "--budget", budget, "-o", output).code == 0
    data = json.loads(foveate("diff", tmp_path / "a.yaml", tmp_path / "b.yaml", "--format", "json").out)
    figures = {(figure["name"], figure["kind"]): figure for figure in data["figures"]}
    assert figures["ttft_ms", "predicted"]["difference"] < 0
    assert figures["fidelity", "prior"]["difference"] < 0
