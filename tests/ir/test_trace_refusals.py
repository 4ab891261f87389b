"""What cannot be traced: one sentence each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny import tiny_config
from transformers import LlamaConfig, LlavaConfig

from foveate.common.errors import BadInput
from foveate.ir.tracing import trace


def changed(**fields: Any) -> LlavaConfig:
    config = tiny_config()
    for name, value in fields.items():
        setattr(config, name, value)
    return config


@pytest.mark.parametrize(
    ("source", "workload", "sentence"),
    [
        (changed(vision_feature_layer=-9), None, "vision_feature_layer -9 is the output of none of the tower's 3"),
        (changed(vision_feature_layer=0), None, "vision_feature_layer 0 is the output of none of the tower's 3 layers"),
        (LlamaConfig(num_hidden_layers=1), None, "model type 'llama' is not multimodal as transformers lists it"),
        ("qwen2_vll", None, "did you mean 'qwen2_vl'?"),
        ("llama", None, "model type 'llama' is not multimodal as transformers lists it"),
        ("mistral4", None, "mistral4 takes no images, video or audio"),
        (42, None, "cannot trace a int; give a transformers model, configuration or folder"),
        (tiny_config(), "audio=3s", "the workload has audio, which llava does not take (it takes image)"),
        (tiny_config(), "video=3x56x56", "the workload has video, which llava does not take (it takes image)"),
        (tiny_config(), "image=3", "workload image='3' is no size"),
    ],
)
def test_one_sentence(source: Any, workload: str | None, sentence: str) -> None:
    with pytest.raises(BadInput) as refused:
        trace(source, workload)
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{broken", "is not readable JSON"),
        ("", "is not readable JSON"),
        ("[1, 2]", "has no model_type; a checkpoint's config.json is expected"),
        ('{"hidden_size": 3}', "has no model_type; a checkpoint's config.json is expected"),
        ('{"model_type": "zebra"}', "transformers knows no model type 'zebra'"),
        ('{"model_type": "llama"}', "model type 'llama' is not multimodal"),
        ('{"model_type": "llava", "auto_map": {"AutoConfig": "own.Config"}}', "asks for code of its own (auto_map)"),
        ('{"model_type": "llava", "vision_config": 3}', "is not a valid llava configuration"),
    ],
)
def test_one_sentence_for_a_bad_file(tmp_path: Path, content: str, sentence: str) -> None:
    (tmp_path / "config.json").write_text(content)
    for source in (tmp_path, tmp_path / "config.json", str(tmp_path)):
        with pytest.raises(BadInput) as refused:
            trace(source)
        assert sentence in str(refused.value)
        assert "\n" not in str(refused.value)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(b"\xff\xfe\x00{")
    with pytest.raises(BadInput, match="is not readable JSON"):
        trace(tmp_path)


def test_a_missing_folder_and_a_folder_without_configuration(tmp_path: Path) -> None:
    for source in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(BadInput, match=r"give a checkpoint folder, a config\.json, or 'testbed'"):
            trace(source)


def test_no_code_of_the_checkpoints_own_is_run(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("raise SystemExit('ran')")
    config = {**tiny_config().to_dict(), "auto_map": {"AutoConfig": "own.Config"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(BadInput, match="which foveate does not run"):
        trace(tmp_path)


def test_code_of_the_checkpoints_own_defines_the_configuration_where_it_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "own.py").write_text("from transformers import LlavaConfig\n\n\nclass Config(LlavaConfig):\n    pass\n")
    config = {**tiny_config().to_dict(), "auto_map": {"AutoConfig": "own.Config"}}
    (folder / "config.json").write_text(json.dumps(config))
    graph = trace(folder, "image=1x56x56", trust_remote_code=True)
    assert graph.decoder.tokens_in == trace(tiny_config(), "image=1x56x56").decoder.tokens_in


def test_trusted_code_that_cannot_be_loaded_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "own", "auto_map": {"AutoConfig": "missing.Config"}}')
    with pytest.raises(BadInput, match="its own code could not be loaded"):
        trace(tmp_path, trust_remote_code=True)


@pytest.mark.parametrize("modality", ["image", "video"])
def test_mixed_sizes_trace_but_no_plan_can_name_their_tokens(modality: str) -> None:
    graph = trace("qwen2-vl-2b", f"{modality}=2x336x336,{modality}=2x672x448")
    assert graph.mixed.keys() == {modality}
    with pytest.raises(BadInput, match=f"the workload mixes {modality} sizes"):
        graph.require_site(f"{modality}.projector.output")


def test_clips_that_one_tensor_cannot_hold_are_refused() -> None:
    with pytest.raises(BadInput, match="stacks every clip of a request in one tensor; give one size"):
        trace("video-llava-7b", "video=8x224x224,video=4x224x224")


def test_media_that_share_an_argument_are_refused_in_one_request() -> None:
    with pytest.raises(BadInput, match="internvl cannot take image and video in one request"):
        trace("internvl3-1b", "image=1x448x448,video=4x448x448")


@pytest.mark.parametrize(("name", "tokens"), [("internvl3-1b", 256), ("smolvlm2-256m", 64)])
def test_each_frame_of_a_clip_is_a_tile(name: str, tokens: int) -> None:
    graph = trace(name, "video=6x448x448,text=20")
    assert graph.layouts["video"].count == 6 * tokens
    assert graph.decoder.tokens_in == 6 * tokens + 20
