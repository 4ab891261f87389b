"""`foveate export`: files that run, and one sentence where there can be none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed; install foveate[onnx]")


@pytest.mark.usefixtures("embedded")
def test_the_embedded_model_is_exported(
    foveate: Callable[..., Any], write_plan: Callable[..., Path], tmp_path: Path
) -> None:
    folder = tmp_path / "models"
    found = foveate("export", write_plan("fastervlm"), "--onnx", folder, "--model", "testbed")
    assert found.code == 0, found.err
    assert "256" in found.out
    session = onnxruntime.InferenceSession(folder / "image_encoder.onnx")
    features, index = session.get_outputs()
    assert features.shape[1] == index.shape[1] == 64


@pytest.mark.usefixtures("embedded")
def test_bad_input_is_one_sentence(
    foveate: Callable[..., Any], write_plan: Callable[..., Path], tmp_path: Path
) -> None:
    found = foveate("export", write_plan("cdpruner-llm-text"), "--onnx", tmp_path, "--model", "testbed")
    assert found.code == 2
    assert "cannot be exported" in found.sentence
    (tmp_path / "file").write_text("")
    found = foveate("export", write_plan(), "--onnx", tmp_path / "file", "--model", "testbed")
    assert "cannot make the folder" in found.sentence
    assert "no model at" in foveate("export", write_plan(), "--onnx", tmp_path, "--model", "none").sentence
