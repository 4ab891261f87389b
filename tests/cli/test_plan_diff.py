"""`foveate diff`: sentences and a table, or JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from .conftest import Foveate

WritePlan = Callable[..., Path]


def two(write_plan: WritePlan, tmp_path: Path) -> tuple[Path, Path]:
    first = write_plan(keep=0.25).rename(tmp_path / "a.yaml")
    return first, write_plan(keep=0.5).rename(tmp_path / "b.yaml")


def test_equal_plans_are_said_to_be_equal(foveate: Foveate, write_plan: WritePlan) -> None:
    path = write_plan()
    shown = foveate("diff", path, path)
    assert shown.code == 0
    assert "say the same" in shown.out


def test_a_changed_fraction_is_shown(foveate: Foveate, write_plan: WritePlan, tmp_path: Path) -> None:
    first, second = two(write_plan, tmp_path)
    shown = foveate("diff", first, second)
    assert shown.code == 0
    assert f"keep 0.25 in {first}, keep 0.5 in {second}" in shown.out


def test_json_holds_every_difference(foveate: Foveate, write_plan: WritePlan, tmp_path: Path) -> None:
    shown = foveate("diff", *two(write_plan, tmp_path), "--format", "json")
    data = json.loads(shown.out)
    assert set(data) == {"same", "settings", "placements", "figures"}
    assert not data["same"]
    (placement,) = data["placements"]
    assert placement["change"] == "changed"
    assert (placement["first"]["keep"], placement["second"]["keep"]) == (0.25, 0.5)
    assert placement["first"]["pass"] == "uniform"


def test_a_plan_that_is_not_there_is_bad_input(foveate: Foveate, write_plan: WritePlan) -> None:
    shown = foveate("diff", write_plan(), "no-such-plan.yaml")
    assert shown.code == 2
    assert "no-such-plan.yaml" in shown.sentence
