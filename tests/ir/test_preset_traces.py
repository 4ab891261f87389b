"""Every preset traces, in every modality that its file names."""

from __future__ import annotations

import pytest

from foveate.ir.presets import Preset, presets
from foveate.ir.tracing import trace

REQUESTS = {"image": "image=1x336x336", "video": "video=8x336x336", "audio": "audio=30s"}
FAST = ("llava-1.5-7b", "phi-4-multimodal", "qwen2.5-omni-3b", "glm-4.1v-9b", "whisper-tiny")


def assert_traces(preset: Preset) -> None:
    for modality in preset.modalities:
        graph = trace(preset.name, REQUESTS[modality])
        assert modality in {stage.modality for stage in graph.stages}, modality
        assert graph.possible_sites()
        assert graph.decoder.depth


@pytest.mark.parametrize("preset", [p for p in presets() if p.name in FAST], ids=lambda preset: preset.name)
def test_a_preset_traces(preset: Preset) -> None:
    assert_traces(preset)


@pytest.mark.slow
@pytest.mark.parametrize("preset", presets(), ids=lambda preset: preset.name)
def test_every_preset_traces(preset: Preset) -> None:
    assert_traces(preset)
