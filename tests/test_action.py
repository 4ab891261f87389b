"""The GitHub Action: its shell steps are run as a runner would, with inputs as environment variables."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

import layout

PLAN = """foveate: 1
placements:
- {pass: uniform, site: image.projector.output, keep: 0.25}
device: {name: generic-cpu, dtype: float32, profile: prior}
budget: ["ttft<=500%"]
"""
SHELL = ("bash", "--noprofile", "--norc", "-e", "-o", "pipefail")  # what a runner makes of `shell: bash`


@dataclass(frozen=True)
class Step:
    """What one step did."""

    code: int
    out: str
    outputs: str
    summary: str


def read(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((root / "action.yml").read_text())
    return found


def run(action: dict[str, Any], name: str, inputs: dict[str, str], folder: Path, *, source: Path) -> Step:
    """Run the step called `name` in `folder`, with the defaults of the inputs that are not given."""
    (step,) = (item for item in action["runs"]["steps"] if item["name"] == name)
    given = {key: str(spec.get("default", "")) for key, spec in action["inputs"].items()} | inputs
    values = {key: re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda m: given[m[1]], v) for key, v in step["env"].items()}
    files = {variable: folder / variable for variable in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    for file in files.values():
        file.touch()
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, **values, **{key: str(file) for key, file in files.items()}, "PATH": path}
    environment |= {"GITHUB_ACTION_PATH": str(source), "PYTHONSAFEPATH": "1"}
    script = folder / "step.sh"
    script.write_text(step["run"])
    done = subprocess.run([*SHELL, str(script)], cwd=folder, env=environment, capture_output=True, text=True)
    told = [file.read_text() for file in files.values()]
    return Step(done.returncode, done.stdout + done.stderr, *told)


def test_every_step_and_input_is_sound(root: Path) -> None:
    action = read(root)
    assert action["runs"]["using"] == "composite"
    used: set[str] = set()
    for step in action["runs"]["steps"]:
        assert step["shell"] == "bash"
        assert "${{" not in step["run"], "an input inside a script would be run by the shell"
        used |= set(re.findall(r"inputs\.([\w-]+)", " ".join([*step["env"].values(), step.get("if", "")])))
    assert used == set(action["inputs"])


def test_held_and_broken_plans(root: Path, tmp_path: Path) -> None:
    (tmp_path / "a plan.yaml").write_text(PLAN)
    inputs = {"plans": "a plan.yaml\n", "model": "testbed", "junit": "junit.xml", "json": "check.json"}
    held = run(read(root), "Check the plans", inputs, tmp_path, source=root)
    assert (held.code, held.outputs) == (0, "verdict=held\n"), held.out
    assert "::notice file=a plan.yaml,line=5,title=ttft<=500%25 is held::" in held.out
    assert held.summary.startswith("### foveate check a plan.yaml")
    assert (tmp_path / "junit.xml").exists()
    inputs |= {"budgets": "memory<=1GiB\nttft<=1%\n", "baseline": "check.json"}
    broken = run(read(root), "Check the plans", inputs, tmp_path, source=root)
    assert broken.code == 1
    assert broken.outputs.endswith("verdict=broken\n")
    assert "::error file=a plan.yaml,line=5,title=ttft<=1%25 is broken::" in broken.out
    assert "105%25 of check.json is held" in broken.out


def test_a_stale_plan_is_annotated_and_inputs_are_never_run(root: Path, tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text(PLAN.replace("uniform", "unifrm"))
    inputs = {"plans": "plan.yaml", "model": "$(touch evil)`touch evil`"}
    stale = run(read(root), "Check the plans", inputs, tmp_path, source=root)
    assert (stale.code, stale.outputs) == (2, "verdict=stale\n")
    assert "::error file=plan.yaml,line=3,title=the plan does not fit::" in stale.out
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(("fail", "code"), [("false", 0), ("true", 3)])
def test_an_undecided_check_fails_only_where_asked(root: Path, tmp_path: Path, fail: str, code: int) -> None:
    fake = tmp_path / "bin"
    fake.mkdir()
    (fake / "foveate").write_text("#!/bin/sh\nexit 3\n")
    (fake / "foveate").chmod(0o755)
    action = read(root)
    step = next(item for item in action["runs"]["steps"] if item["name"] == "Check the plans")
    step["run"] = f'PATH="{fake}:$PATH"\n' + step["run"]
    found = run(action, "Check the plans", {"plans": "plan.yaml", "fail-on-undecided": fail}, tmp_path, source=root)
    assert (found.code, found.outputs) == (code, "verdict=undecided\n"), found.out


@pytest.mark.slow
def test_the_install_step_installs_this_action(root: Path, tmp_path: Path) -> None:
    source, target = layout.copy_sources(tmp_path / "source"), tmp_path / "target"
    options = f"--quiet --no-deps --no-build-isolation --target {target}"
    found = run(read(root), "Install foveate", {"plans": "", "pip-args": options}, tmp_path, source=source)
    assert found.code == 0, found.out
    assert (target / "foveate" / "__init__.py").exists()


def test_the_example_of_the_documentation_names_inputs_that_exist(root: Path) -> None:
    page = (root / "docs" / "ci.md").read_text()
    examples = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)]
    steps = [
        step
        for example in examples
        if isinstance(example, dict)
        for job in example.get("jobs", {}).values()
        for step in job["steps"]
        if "foveate" in step.get("uses", "")
    ]
    assert steps
    for step in steps:
        assert set(step["with"]) <= set(read(root)["inputs"])
