"""The marker `latency_budget`, in a pytest of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

PLAN = """foveate: 1
placements:
- {pass: uniform, site: image.projector.output, keep: 0.25}
device: {name: generic-cpu, dtype: float32, profile: prior}
budget: ["ttft<=500%"]
"""
MODULE = """
import pytest

@pytest.mark.latency_budget("my.plan.yaml", model="testbed")
def test_held(): pass

@pytest.mark.latency_budget("my.plan.yaml", "ttft<=500%", "ttft<=1%", model="testbed")
def test_twice(): pass

@pytest.mark.latency_budget("my.plan.yaml", "ttft<=1%", model="testbed", device="h100-sxm")
def test_broken(): raise SystemExit("the body must not run")

@pytest.mark.latency_budget("my.plan.yaml", model="testbed", baseline="my.plan.yaml", max_regression="1%")
def test_beside_a_baseline(): pass

@pytest.mark.latency_budget("other.plan.yaml", model="testbed")
def test_stale(): pass

def test_plain(): pass
"""


def test_broken_and_stale_plans_fail_the_test(tmp_path: Path) -> None:
    (tmp_path / "my.plan.yaml").write_text(PLAN)
    (tmp_path / "test_it.py").write_text(MODULE)
    command = [sys.executable, "-m", "pytest", "--strict-markers", "-p", "no:foveate", "-p", "foveate.pytest_plugin"]
    command += ["-p", "no:cacheprovider", "-rA", "--junit-xml", "junit.xml"]
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr
    for name in ("held", "beside_a_baseline", "plain"):
        assert f"PASSED test_it.py::test_{name}" in done.stdout
    for name, words in (
        ("broken", "ttft<=1% is broken"),
        ("twice", "limit the same figure twice"),
        ("stale", "no such file"),
    ):
        assert f"FAILED test_it.py::test_{name}" in done.stdout
        assert words in done.stdout
    properties = ElementTree.parse(tmp_path / "junit.xml").getroot().iter("property")
    assert any("ttft<=500% is held" in (found.get("value") or "") for found in properties)


def test_the_plugin_imports_nothing_of_foveate() -> None:
    code = "import sys, foveate.pytest_plugin; print(sorted(m for m in sys.modules if m.startswith('foveate')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['foveate', 'foveate.pytest_plugin']"


def test_pytest_finds_the_plugin_where_foveate_is_installed(root: Path) -> None:
    import tomllib

    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"foveate": "foveate.pytest_plugin"}
