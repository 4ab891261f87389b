"""A command line that runs in this process, and a checkpoint of a tiny untrained model for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from foveate.cli import main

PLAN = "foveate: 1\nplacements:\n- pass: {method}\n  site: {site}\n  keep: {keep}\n"


@dataclass(frozen=True)
class Outcome:
    """What a command returned and printed."""

    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The one line on standard error; fails where there is another number of lines."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("foveate: ")
        assert lines[0].endswith((".", "?"))
        assert "Traceback" not in lines[0]
        return lines[0]


Foveate = Callable[..., Outcome]


@pytest.fixture
def foveate(capsys: pytest.CaptureFixture[str]) -> Foveate:
    """Run `foveate ARGUMENTS` here and return what happened."""

    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an untrained model (256 visual tokens, 2 decoder layers) and its processor."""
    from foveate.testbed.model import TOY, build_model, build_processor

    folder = tmp_path_factory.mktemp("checkpoint") / "tiny"
    build_model(TOY).save_pretrained(folder)
    build_processor().save_pretrained(folder)
    return folder


@pytest.fixture
def embedded(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `testbed` stand for the tiny untrained model, so that tests need no trained one."""
    (checkpoint.parent / "image").exists() or (checkpoint.parent / "image").symlink_to(checkpoint)
    monkeypatch.setattr("foveate.testbed.loading.CHECKPOINTS", checkpoint.parent)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A plain picture of the size that the tiny model takes."""
    path = tmp_path / "picture.png"
    Image.new("RGB", (224, 224), (90, 120, 30)).save(path)
    return path


@pytest.fixture
def write_plan(tmp_path: Path) -> Callable[..., Path]:
    """Write a plan of one placement and return its path."""

    def write(method: str = "uniform", site: str = "image.projector.output", keep: object = 0.25) -> Path:
        path = tmp_path / "plan.yaml"
        path.write_text(PLAN.format(method=method, site=site, keep=keep))
        return path

    return write


@pytest.fixture(autouse=True)
def as_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Output has the width of a pipe's, whatever the process that runs the tests says of its terminal."""
    monkeypatch.delenv("COLUMNS", raising=False)
