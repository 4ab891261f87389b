"""The examples run as they are, on an untrained model under the embedded one's name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run_example(name: str, folder: Path, *arguments: str) -> str:
    """Run an example in a process of its own, where `testbed` is what lies in `folder`, and return what it printed."""
    script = (
        "import runpy, sys; from pathlib import Path; import foveate.testbed.loading as loading; "
        f"loading.CHECKPOINTS = Path({str(folder)!r}); sys.argv = [{name!r}, *{list(arguments)!r}]; "
        f"runpy.run_path({str(ROOT / 'examples' / name)!r}, run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.usefixtures("embedded")
def test_apply_a_plan(checkpoint: Path) -> None:
    shown = run_example("apply_a_plan.py", checkpoint.parent)
    assert "64 in all" in shown
    assert "time to first token" in shown


@pytest.mark.slow
@pytest.mark.usefixtures("embedded")
def test_own_method(checkpoint: Path) -> None:
    shown = run_example("own_method.py", checkpoint.parent)
    assert len(shown.splitlines()) == 6
    assert "64 tokens" in shown


def test_the_methods_class_has_fifteen_lines() -> None:
    lines = (ROOT / "examples" / "own_method.py").read_text().splitlines()
    start = lines.index("@register")
    end = lines.index("def main() -> None:")
    assert sum(bool(line.strip()) for line in lines[start:end]) <= 15


def test_own_method_keeps_the_contract() -> None:
    script = (
        "import runpy; from foveate.passes.contract import check_pass; "
        f"check_pass(runpy.run_path({str(ROOT / 'examples' / 'own_method.py')!r})['Outliers'])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
