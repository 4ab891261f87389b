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
    assert plan.search is not None
    assert plan.search.sampler == ""
    explained = foveate("explain", output).out
    assert "Fidelity (prior)" in explained
    assert "Best of what was not chosen" in explained
    assert "Expected on the way" in explained
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
    written = foveate(*asked, "-o", output, "--nearest")
    assert written.code == 1
    found = load(output)
    assert found.predicted is not None
    share = found.predicted.ttft_ms / (found.predicted.baseline_ttft_ms or 0)
    assert "the budget is missed: ttft<=1% by " in written.err
    assert f"{100 * (share / 0.01 - 1):.1f} % (predicted {100 * share:.1f} %)" in written.err
    assert "memory" not in written.err.splitlines()[-1]
    assert found.placements


def test_nearest_exits_by_what_the_plan_holds(foveate: Foveate, tmp_path: Path) -> None:
    """A floor that is missed counts as well as a limit; a plan that holds does not mind that nearest was asked."""
    output = tmp_path / "plan.yaml"
    asked = ("plan", "llava-1.5-7b", *DEVICE, "-o", output, "--nearest", "--budget", "ttft<=90%")
    missed = foveate(*asked, "--budget", "fidelity>=0.9999")
    assert missed.code == 1
    found = load(output).fidelity
    assert found is not None
    assert f"fidelity>=0.9999 by {100 * (1 - found.value / 0.9999):.1f} % (prior {found.value:.3f})" in missed.err
    assert "ttft" not in missed.err.splitlines()[-1]
    held = foveate(*asked)
    assert (held.code, "missed" in held.err) == (0, False)


def test_an_unknown_sampler_is_refused_even_where_none_runs(foveate: Foveate, tmp_path: Path) -> None:
    asked = ("--budget", "ttft<=60%", "-o", tmp_path / "plan.yaml", "--sampler", "nonsense")
    for model in ("llava-1.5-7b", "testbed"):
        shown = foveate("plan", model, *DEVICE, *asked)
        assert shown.code == 2
        assert "unknown sampler 'nonsense': choose one of nsga2, random, tpe" in shown.sentence
    assert not list(tmp_path.iterdir())


def test_the_front_is_of_what_the_search_ranked(foveate: Foveate, tmp_path: Path) -> None:
    """Faster is never better on it, and whatever else the plan names is beaten by one of its points on both counts."""
    output = tmp_path / "plan.yaml"
    assert foveate("plan", "llava-1.5-7b", *DEVICE, "--budget", "ttft<=90%", "-o", output).code == 0
    search = load(output).search
    assert search is not None
    assert search.front
    times, values = [p.ttft_ms for p in search.front], [p.value for p in search.front]
    assert times == sorted(times)
    assert values == sorted(values)
    for other in search.runners_up:
        assert any(point.ttft_ms <= other.ttft_ms and point.value >= other.value for point in search.front)


def test_sound_has_no_published_results(foveate: Foveate, tmp_path: Path) -> None:
    shown = foveate("plan", "whisper-tiny", *DEVICE, "--budget", "ttft<=80%", "-o", tmp_path / "plan.yaml")
    assert shown.code == 2
    assert "nothing is published about compressing audio" in shown.sentence


def test_a_study_needs_measurements(foveate: Foveate, checkpoint: Path, tmp_path: Path) -> None:
    asked = ("plan", checkpoint, "--device", "generic-cpu", "--budget", "ttft<=60%", "-o", tmp_path / "plan.yaml")
    assert "without weights nothing is measured" in foveate(*asked, "--study", tmp_path / "s.db").sentence
    assert "--sensitivity keeps measurements" in foveate(*asked, "--sensitivity", tmp_path / "s.yaml").sentence
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
