"""Bad calibration files, samples and method files: one sentence that names the line, exit code 2, nothing written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Foveate, Outcome

Calibrated = Callable[..., Outcome]

METHOD = '''\
from dataclasses import dataclass

from foveate.passes import register
from foveate.passes.score import ScorePass


@register
@dataclass(frozen=True)
class Raising(ScorePass):
    """A pass that raises."""

    name = "raising-{number}"
    source = "test"
    summary = "raise"
    mechanism = "similarity"

    def score(self, tokens):
        raise ZeroDivisionError("no score today")
'''


@pytest.fixture
def calibrated(foveate: Foveate, checkpoint: Path, picture: Path, tmp_path: Path) -> Calibrated:
    """Plan for the tiny checkpoint with a calibration file of these lines."""

    def run(*lines: str, options: tuple[object, ...] = ()) -> Outcome:
        file = tmp_path / "calibration.jsonl"
        file.write_text("".join(f"{line}\n" for line in lines))
        output = tmp_path / "plan.yaml"
        asked = ("--device", "generic-cpu", "--budget", "ttft<=95%", "--trials", 1, "-o", output)
        shown = foveate("plan", checkpoint, "--calibration", file, *asked, *options)
        assert not output.exists()
        return shown

    return run


def line(picture: Path, prompt: str = "<image> is there a dog", *, answer: str | None = None) -> str:
    return json.dumps({"image": picture.name, "prompt": prompt, "answer": answer})


def refused(shown: Outcome) -> str:
    """The complaint, which is the last line: progress stands before it."""
    assert shown.code == 2, shown.err
    sentence = shown.err.splitlines()[-1]
    assert sentence.startswith("foveate: ")
    assert "Traceback" not in shown.err
    return sentence


def test_an_empty_calibration_file(calibrated: Calibrated) -> None:
    assert "it holds no sample" in refused(calibrated())


def test_a_malformed_line_is_named(calibrated: Calibrated, picture: Path) -> None:
    sentence = refused(calibrated(line(picture), "{not json"))
    assert "calibration.jsonl, line 2: this is not JSON" in sentence


def test_a_picture_that_is_missing_is_named_by_its_line(calibrated: Calibrated, picture: Path) -> None:
    sentence = refused(calibrated(line(picture), line(Path("nowhere.png"))))
    assert "line 2" in sentence
    assert "nowhere.png" in sentence


def test_a_sample_that_the_model_cannot_take_is_named_by_its_line(calibrated: Calibrated, picture: Path) -> None:
    lines = [line(picture)] * 3 + [line(picture, "no image token at all")]
    sentence = refused(calibrated(*lines))
    assert "calibration.jsonl, line 4: " in sentence


def test_a_line_without_the_answer_that_a_metric_needs_is_named(calibrated: Calibrated, picture: Path) -> None:
    lines = [line(picture, answer="yes")] * 5 + [line(picture)]
    sentence = refused(calibrated(*lines, options=("--metric", "exact")))
    assert "calibration.jsonl, line 6 has none; add an answer to each" in sentence


def test_a_line_with_fewer_pictures_than_the_workload_is_named(calibrated: Calibrated, picture: Path) -> None:
    sentence = refused(calibrated(*[line(picture)] * 4, options=("--workload", "image=2x224x224")))
    assert (
        "calibration.jsonl, line 1: it has 1 image, and the workload image=2x224x224,text=32,new=16 has 2" in sentence
    )


def test_a_method_file_that_raises_when_it_is_read(calibrated: Calibrated, picture: Path, tmp_path: Path) -> None:
    method = tmp_path / "broken.py"
    method.write_text("x = 1\nraise KeyError('oops')\n")
    sentence = refused(calibrated(line(picture), options=("--methods", method)))
    assert f"{method}, line 2: the method raised KeyError: 'oops'" in sentence


def test_a_method_file_that_is_no_python(calibrated: Calibrated, picture: Path, tmp_path: Path) -> None:
    method = tmp_path / "broken.py"
    method.write_text("def (:\n")
    sentence = refused(calibrated(line(picture), options=("--methods", method)))
    assert f"{method}, line 1: " in sentence


def test_a_method_that_raises_while_it_is_measured(calibrated: Calibrated, picture: Path, tmp_path: Path) -> None:
    method = tmp_path / "raising.py"
    method.write_text(METHOD.replace("{number}", "one"))
    try:
        sentence = refused(calibrated(*[line(picture)] * 4, options=("--methods", method)))
    finally:
        from foveate.passes import REGISTRY

        REGISTRY._items.pop("raising-one", None)
    assert f"{method}, line 18: the method raised ZeroDivisionError: no score today" in sentence


def test_a_method_file_that_registers_nothing(calibrated: Calibrated, picture: Path, tmp_path: Path) -> None:
    method = tmp_path / "idle.py"
    method.write_text("x = 1\n")
    assert "registers no pass" in refused(calibrated(line(picture), options=("--methods", method)))


def test_a_method_file_that_is_not_there(calibrated: Calibrated, picture: Path, tmp_path: Path) -> None:
    sentence = refused(calibrated(line(picture), options=("--methods", tmp_path / "none.py")))
    assert "there is no method file" in sentence
