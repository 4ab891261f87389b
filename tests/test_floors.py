"""import-linter holds the floors: a planted violation of each kind is found, and the copy without one passes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import layout


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package's Python files under the name `foveate`."""
    copy = tmp_path_factory.mktemp("house") / "foveate"
    for path in [*layout.module_files(), layout.ROOT / "pyproject.toml"]:
        target = copy / path.relative_to(layout.ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(path.read_text())
    return copy


def lint(house: Path) -> tuple[int, str]:
    environment = {**os.environ, "PYTHONPATH": str(house.parent), "PYTHONSAFEPATH": "1", "NO_COLOR": "1"}
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    ended = subprocess.run(command, cwd=house, env=environment, capture_output=True, text=True)
    return ended.returncode, ended.stdout + ended.stderr


def test_the_house_as_it_is_holds(house: Path) -> None:
    code, output = lint(house)
    assert code == 0, output
    assert "0 broken" in output


@pytest.mark.parametrize(
    ("place", "line", "broken"),
    [
        ("common", "from ..kernels import planted_below", "foveate.common is not allowed to import foveate.kernels"),
        ("ir", "from ..passes import base", "foveate.ir is not allowed to import foveate.passes"),
        ("passes", "from .. import cost_models", "foveate.passes is not allowed to import foveate.cost_models"),
        ("cost_models", "from ..passes import base", "foveate.cost_models is not allowed to import foveate.passes"),
        ("runtime", "from .. import planner", "foveate.runtime is not allowed to import foveate.planner"),
        ("testbed", "from ..ir import graph", "foveate.testbed is not allowed to import foveate.ir"),
        (
            "kernels",
            "def late():\n    from ..passes import base",
            "foveate.kernels is not allowed to import foveate.passes",
        ),
    ],
)
def test_a_planted_import_from_above_is_found(house: Path, place: str, line: str, broken: str) -> None:
    planted = house / place / "planted.py"
    (house / "kernels" / "planted_below.py").write_text("")
    planted.write_text(f"{line}\n")
    try:
        code, output = lint(house)
    finally:
        planted.unlink()
    assert code == 1
    assert broken in " ".join(output.split())
