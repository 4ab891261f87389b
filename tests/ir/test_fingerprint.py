"""The fingerprint names a configuration: the same however it was loaded, another for another model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny import tiny_config, tiny_llava

from foveate.ir.fingerprint import fingerprint
from foveate.ir.sources import load_config
from foveate.ir.tracing import trace


def test_live_model_configuration_and_files_agree(tmp_path: Path) -> None:
    config, model = tiny_config(), tiny_llava()
    config.save_pretrained(tmp_path / "config")
    model.save_pretrained(tmp_path / "model")
    expected = fingerprint(config)
    assert fingerprint(model) == expected
    assert fingerprint(load_config(tmp_path / "config")) == expected
    assert fingerprint(load_config(tmp_path / "model")) == expected
    assert trace(tmp_path / "model").fingerprint == trace(model).fingerprint == expected
    assert trace(tmp_path / "model").model == "model"


def test_it_does_not_depend_on_dtype_attention_or_use() -> None:
    expected = fingerprint(tiny_config())
    assert fingerprint(tiny_llava(attention="eager")) == expected
    assert fingerprint(tiny_llava().to(torch.bfloat16)) == expected
    model = tiny_llava()
    model.config._name_or_path = "somewhere/else"
    assert fingerprint(model) == expected


@pytest.mark.parametrize("options", [{"decoder": "llama"}, {"image_size": 28}, {"vision_feature_layer": -1}])
def test_another_model_has_another(options: dict[str, object]) -> None:
    assert fingerprint(tiny_config(**options)) != fingerprint(tiny_config())


def test_its_form() -> None:
    kind, digest = fingerprint(tiny_config()).split(":")
    assert kind == "sha256"
    assert len(digest) == 64
    assert set(digest) <= set("0123456789abcdef")
