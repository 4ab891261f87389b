"""A method of the user's own: listed, explained, checked, run and timed like those that come with foveate."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from foveate.passes import REGISTRY

from .conftest import PLAN, Foveate

METHOD = '''"""A method for tests."""

from dataclasses import dataclass

from foveate.passes import register
from foveate.passes.score import ScorePass


@register
@dataclass(frozen=True)
class Brightest(ScorePass):
    """Keep the tokens with the largest first feature.

    A method for tests alone.
    """

    name = "own-brightest"
    source = "tests"
    summary = "keep the largest first feature"
    mechanism = "similarity"
    consumes = ("feature",)

    def score(self, tokens):
        return tokens.features[..., 0].float(){mistake}
'''


@pytest.fixture
def method(tmp_path: Path) -> Iterator[Path]:
    """A file that registers one pass, which is forgotten afterwards."""
    path = tmp_path / "mine.py"
    path.write_text(METHOD.replace("{mistake}", ""))
    yield path
    REGISTRY._items.pop("own-brightest", None)


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN.format(method="own-brightest", site="image.projector.output", keep=0.25))
    return path


def test_it_is_listed_and_explained(foveate: Foveate, method: Path) -> None:
    assert "own-brightest" not in foveate("methods").out
    assert "own-brightest" in foveate("methods", "--methods", method).out
    shown = foveate("methods", "own-brightest", "--methods", method).out
    assert "A method for tests alone." in shown
    assert "keep the largest first feature" in shown


def test_a_plan_that_names_it_is_valid_with_the_file_alone(foveate: Foveate, method: Path, plan: Path) -> None:
    assert "own-brightest" in foveate("validate", plan).sentence
    done = foveate("validate", plan, "--methods", method)
    assert done.code == 0, done.err


def test_it_runs_and_is_timed(foveate: Foveate, method: Path, plan: Path, checkpoint: Path, tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    Image.new("RGB", (224, 224), "navy").save(picture)
    asked = ("--image", picture, "--prompt", "is there a dog", "--new-tokens", 2)
    ran = foveate("run", checkpoint, *asked, "--plan", plan, "--methods", method)
    assert ran.code == 0, ran.err
    timed = foveate("bench", checkpoint, "--plan", plan, "--rounds", 3, "--format", "json", "--methods", method)
    assert timed.code == 0, timed.err
    assert [run["plan"] for run in json.loads(timed.out)["runs"]] == [None, str(plan)]


def test_its_contract_is_checked(foveate: Foveate, method: Path) -> None:
    done = foveate("methods", "--check", method)
    assert done.code == 0, done.err
    assert "own-brightest holds all" in done.out


def test_a_broken_promise_is_named(foveate: Foveate, method: Path) -> None:
    method.write_text(METHOD.replace("{mistake}", " * tokens.features.shape[0] ** tokens.features.mean().item()"))
    done = foveate("methods", "--check", method)
    assert done.code == 2
    assert "the pass 'own-brightest'" in done.sentence


def test_an_installed_package_registers_its_own(tmp_path: Path) -> None:
    """In a process of its own: entry points are read once, at the first lookup."""
    (tmp_path / "brightest_plugin.py").write_text(METHOD.replace("{mistake}", ""))
    offered = tmp_path / "brightest_plugin-1.0.dist-info"
    offered.mkdir()
    (offered / "METADATA").write_text("Metadata-Version: 2.1\nName: brightest-plugin\nVersion: 1.0\n")
    (offered / "entry_points.txt").write_text("[foveate.passes]\nbrightest = brightest_plugin\n")
    code = "import sys; from foveate.cli import main; sys.exit(main(['methods', 'own-brightest', '--format', 'json']))"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["name"] == "own-brightest"
    (tmp_path / "brightest_plugin.py").write_text("import no_such_module\n")
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert "brightest-plugin offers 'brightest' under foveate.passes" in done.stderr
