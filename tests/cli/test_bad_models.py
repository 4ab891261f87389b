"""What `foveate trace` refuses: exit code 2 and one sentence each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import Foveate

TEXT_ONLY = '{"model_type": "llama"}'
TRUNCATED = '{"model_type": "llava", "vision_config": {"hidden_size": 10'
OWN_CODE = '{"model_type": "llava", "auto_map": {"AutoConfig": "own.Config"}}'


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("llava-1.5-7bb", "did you mean 'llava-1.5-7b'?"),
        ("qwen2_vll", "did you mean 'qwen2_vl'?"),
        ("llama", "model type 'llama' is not multimodal"),
    ],
)
def test_a_name_that_cannot_be_traced(foveate: Foveate, model: str, sentence: str) -> None:
    result = foveate("trace", model)
    assert (result.code, result.out) == (2, "")
    assert sentence in result.sentence


@pytest.mark.parametrize(
    ("workload", "sentence"),
    [
        ("audio=30s", "the workload has audio, which llava does not take (it takes image)"),
        ("image=1x0x336", "is no size"),
        ("picture=1x336x336", "unknown workload key 'picture'"),
    ],
)
def test_a_workload_that_the_model_cannot_take(foveate: Foveate, workload: str, sentence: str) -> None:
    result = foveate("trace", "llava-1.5-7b", "--workload", workload)
    assert (result.code, result.out) == (2, "")
    assert sentence in result.sentence


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{broken", "is not readable JSON"),
        (TRUNCATED, "is not readable JSON"),
        ("", "is not readable JSON"),
        (TEXT_ONLY, "model type 'llama' is not multimodal"),
        (OWN_CODE, "asks for code of its own (auto_map), which foveate does not run"),
    ],
)
def test_a_config_that_cannot_be_traced(foveate: Foveate, tmp_path: Path, content: str, sentence: str) -> None:
    (tmp_path / "config.json").write_text(content)
    result = foveate("trace", tmp_path)
    assert (result.code, result.out) == (2, "")
    assert sentence in result.sentence


def test_a_config_cut_short_anywhere_is_one_sentence(foveate: Foveate, checkpoint: Path, tmp_path: Path) -> None:
    whole = (checkpoint / "config.json").read_text().rstrip()
    for length in range(0, len(whole), max(1, len(whole) // 7)):
        (tmp_path / "config.json").write_text(whole[:length])
        result = foveate("trace", tmp_path / "config.json")
        assert result.code == 2
        assert "config.json" in result.sentence


def test_code_of_the_checkpoints_own_runs_with_the_flag_alone(
    foveate: Foveate, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    config = json.loads((checkpoint / "config.json").read_text())
    (tmp_path / "own.py").write_text("from transformers import LlavaConfig\n\n\nclass Config(LlavaConfig):\n    pass\n")
    (tmp_path / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoConfig": "own.Config"}}))
    assert foveate("trace", tmp_path).code == 2
    assert not (tmp_path / "modules").exists()
    trusted = foveate("trace", tmp_path, "--trust-remote-code", "--format", "json")
    assert trusted.code == 0, trusted.err
    assert json.loads(trusted.out)["stages"]
