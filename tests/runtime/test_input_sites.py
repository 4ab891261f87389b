"""Placements before the encoder equal the unmodified encoder on the smaller input, at gapped positions."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from family_cases import BY_NAME
from input_oracle import answer, by_hand, chosen_frames, smaller_pictures
from layer_oracle import dropped_columns, forced_logits, hiding
from live_families import batch

from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.runtime import apply
from foveate.runtime.adapters import adapter_of

PICTURES = (
    "llava",
    "vipllava",
    "paligemma",
    "internvl",
    "aya_vision",
    "cohere2_vision",
    "idefics3",
    "smolvlm",
    "mistral3",
    "qwen2_vl",
    "qwen2_5_vl",
    "qwen3_vl",
    "qwen3_vl_moe",
    "video_llama_3",
)
CLIPS = (
    "qwen2_vl-video",
    "qwen2_5_vl-video",
    "qwen3_vl-video",
    "video_llama_3-video",
    "video_llava",
    "llava_next_video",
    "llava_onevision-video",
)
EVERY = [(name, "downsample") for name in PICTURES] + [
    (name, method) for name in CLIPS for method in ("uniform-frames", "mgsampler-pixels")
]
EVERY += [(name, "trim-padding") for name in ("qwen2_audio", "voxtral")]


@pytest.mark.parametrize(("name", "method"), EVERY)
def test_keeping_everything_is_bit_identical(name: str, method: str) -> None:
    case = BY_NAME[name]
    model = case.build()
    inputs, _ = batch(case)
    plain = forced_logits(model, inputs, answer(2))
    for forced in (False, True):
        with apply(model, Plan.of(Placement(method, f"{case.modality}.input", 1.0)), force_compaction=forced):
            assert torch.equal(forced_logits(model, inputs, answer(2)), plain)
    assert torch.equal(forced_logits(model, inputs, answer(2)), plain)


@pytest.mark.parametrize("name", PICTURES)
def test_downsampling_equals_the_encoder_on_smaller_pictures(name: str) -> None:
    assert difference(name, "downsample") < 1e-5


@pytest.mark.parametrize("name", ["qwen2_vl-video", "qwen3_vl-video", "video_llama_3-video"])
def test_frames_of_clips_can_be_made_smaller(name: str) -> None:
    assert difference(name, "downsample") < 1e-5


@pytest.mark.parametrize("method", ["uniform-frames", "mgsampler-pixels"])
@pytest.mark.parametrize("name", CLIPS)
def test_frame_selection_equals_the_encoder_on_the_chosen_frames(name: str, method: str) -> None:
    assert difference(name, method) < 1e-5


def difference(name: str, method: str) -> float:
    """The largest difference in any logit between half of the input under the pass and the same made by hand."""
    case = BY_NAME[name]
    model = case.build()
    inputs, where = batch(case, rows=3)
    site = f"{case.modality}.input"
    with apply(model, Plan.of(Placement(method, site, 0.5))) as handle:
        compressed = forced_logits(model, inputs, answer())
        kept = handle.selections[site]
    if method == "downsample":
        smaller = smaller_pictures(model, inputs, where, modality=case.modality)
    else:
        smaller = chosen_frames(model, inputs, where, kept)
    assert kept.numel() < sum(len(places) for _, places in where)
    return float((compressed - by_hand(model, case.modality, inputs, where, kept, smaller)).abs().max())


@pytest.mark.parametrize("name", ["qwen2_audio", "voxtral"])
def test_trimming_equals_the_tower_on_the_shorter_sound(name: str) -> None:
    case = BY_NAME[name]
    model = case.build()
    inputs, where = batch(case, rows=3)
    with apply(model, Plan.of(Placement("trim-padding", "audio.input", 0.5))) as handle:
        compressed = forced_logits(model, inputs, answer())
        kept = handle.selections["audio.input"]
    units = 8 if name == "qwen2_audio" else 4
    tower: Any = model.get_encoder(modality="audio")
    original = tower.forward

    def by_parts(*args: Any, **kwargs: Any) -> Any:
        output = original(inputs["input_features"])
        output.last_hidden_state = trimmed_states(tower, inputs["input_features"], windows_of(kept, where, units))
        return output

    tower.forward = by_parts
    with hiding(adapter_of(model.config).decoder(model), {0: dropped_columns(inputs, where, kept)}):
        expected = forced_logits(model, inputs, answer())
    assert (compressed - expected).abs().max() < 1e-5


def windows_of(kept: torch.Tensor, where: list[tuple[int, list[int]]], units: int) -> list[list[int]]:
    """The kept units of each window, a sound taking as many windows as it needs."""
    windows = []
    for row, (_, places) in zip(kept.tolist(), where, strict=True):
        for first in range(0, len(places), units):
            windows.append([unit - first for unit in row if first <= unit < first + units])
    return windows


def trimmed_states(tower: Any, spectrum: torch.Tensor, windows: list[list[int]]) -> torch.Tensor:
    """The tower's output when each window's spectrum holds only its kept units, one window at a time, no padding."""
    units = 8 if hasattr(tower, "avg_pooler") and "Qwen2" in type(tower).__name__ else 4
    frames, rows = spectrum.shape[2] // units, []
    for window, kept in zip(spectrum, windows, strict=True):
        outputs = 1 if units == 8 else 4
        full = torch.zeros(units * outputs, tower.layers[0].fc1.in_features)
        if kept:
            cut = torch.cat([window[:, frames * u : frames * (u + 1)] for u in kept], dim=1)[None]
            hidden = torch.nn.functional.gelu(tower.conv2(torch.nn.functional.gelu(tower.conv1(cut)))).mT
            places = [p for u in kept for p in range(u * frames // 2, (u + 1) * frames // 2)]
            hidden = hidden + tower.embed_positions.weight[places]
            for layer in tower.layers:
                hidden = layer(hidden, None)
                hidden = hidden[0] if isinstance(hidden, tuple) else hidden
            if units == 8:
                hidden = hidden.unflatten(1, (-1, 2)).mean(2)
            full[[o for u in kept for o in range(u * outputs, (u + 1) * outputs)]] = tower.layer_norm(hidden)[0]
        rows.append(full)
    return torch.stack(rows)
