"""Bad input: the right exit code, exactly one clear sentence, and nothing written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Foveate

WritePlan = Callable[..., Path]


def test_a_missing_model(foveate: Foveate, tmp_path: Path) -> None:
    result = foveate("trace", tmp_path / "nowhere")
    assert result.code == 2
    assert "nowhere" in result.sentence
    assert "checkpoint folder" in result.sentence


def test_a_folder_that_is_no_checkpoint(foveate: Foveate, tmp_path: Path, picture: Path) -> None:
    result = foveate("run", tmp_path, "--image", picture, "--prompt", "what")
    assert result.code == 2
    assert "config.json" in result.sentence


def test_a_checkpoint_without_weights(foveate: Foveate, checkpoint: Path, tmp_path: Path, picture: Path) -> None:
    (tmp_path / "config.json").write_bytes((checkpoint / "config.json").read_bytes())
    result = foveate("run", tmp_path, "--image", picture, "--prompt", "what")
    assert result.code == 2
    assert str(tmp_path) in result.sentence


def test_a_checkpoint_that_asks_for_code_of_its_own(foveate: Foveate, tmp_path: Path, picture: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llava", "auto_map": {"AutoModel": "evil.py"}}')
    result = foveate("run", tmp_path, "--image", picture, "--prompt", "what")
    assert result.code == 2
    assert "code of its own" in result.sentence


def test_no_such_picture(foveate: Foveate, checkpoint: Path, tmp_path: Path) -> None:
    result = foveate("run", checkpoint, "--image", tmp_path / "nope.png", "--prompt", "what")
    assert result.code == 2
    assert "nope.png" in result.sentence


def test_a_picture_that_is_none(foveate: Foveate, checkpoint: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.png"
    text.write_text("this is not a picture")
    result = foveate("run", checkpoint, "--image", text, "--prompt", "what")
    assert result.code == 2
    assert "not a picture" in result.sentence


def test_malformed_yaml_names_the_line(foveate: Foveate, tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text("foveate: 1\nplacements:\n- pass: uniform\n  site: : image\n  keep: 0.5\n")
    result = foveate("validate", plan)
    assert result.code == 2
    assert f"{plan}, line 4" in result.sentence


@pytest.mark.parametrize(
    ("fields", "line", "words"),
    [
        ({"method": "fastvee"}, 3, "did you mean 'fastv'?"),
        ({"site": "image.projector.outptu"}, 4, "unknown site"),
        ({"keep": 1.5}, 5, "keep"),
        ({"method": "fastv"}, 4, "cannot act at"),
    ],
)
def test_a_wrong_plan_names_line_and_mend(
    foveate: Foveate, write_plan: WritePlan, fields: dict[str, object], line: int, words: str
) -> None:
    plan = write_plan(**fields)
    result = foveate("validate", plan)
    assert result.code == 2
    assert f"{plan}, line {line}: " in result.sentence
    assert words in result.sentence


def test_an_unknown_parameter_names_its_line(foveate: Foveate, write_plan: WritePlan) -> None:
    plan = write_plan("fastervlm")
    plan.write_text(plan.read_text() + "  params: {layr: -2}\n")
    sentence = foveate("validate", plan).sentence
    assert "line 6" in sentence
    assert "did you mean 'layer'?" in sentence


def test_a_profile_that_is_not_one(foveate: Foveate, write_plan: WritePlan) -> None:
    result = foveate("devices", write_plan())
    assert result.code == 2
    assert "not a device profile" in result.sentence


def test_an_unknown_device_offers_the_nearest(foveate: Foveate) -> None:
    result = foveate("devices", "h100-sxn")
    assert result.code == 2
    assert "'h100-sxm'" in result.sentence


def test_an_unknown_workload_key(foveate: Foveate, checkpoint: Path) -> None:
    result = foveate("trace", checkpoint, "--workload", "imagee=1x224x224")
    assert result.code == 2
    assert "did you mean 'image'?" in result.sentence


@pytest.mark.parametrize("budget", ["ttft", "ttft<=0%", "ttft>=60%", "speed<=3"])
def test_a_budget_that_is_none_writes_nothing(foveate: Foveate, tmp_path: Path, budget: str) -> None:
    output = tmp_path / "plan.yaml"
    result = foveate("plan", "testbed", "--budget", budget, "--device", "generic-cpu", "-o", output)
    assert result.code == 2
    assert budget in result.sentence
    assert not list(tmp_path.iterdir())


def test_an_output_folder_that_is_missing_is_refused_before_the_work(foveate: Foveate, tmp_path: Path) -> None:
    result = foveate("calibrate", "-o", tmp_path / "nowhere" / "my.yaml")
    assert result.code == 2
    assert "does not exist" in result.sentence


def test_usage_errors_are_one_sentence_with_code_2(foveate: Foveate) -> None:
    for arguments in (["tracee"], ["trace"], ["trace", "testbed", "--bogus"], ["bench", "testbed", "--rounds", "x"]):
        result = foveate(*arguments)
        assert result.code == 2
        assert "--help" in result.sentence
