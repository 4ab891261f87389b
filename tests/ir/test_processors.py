"""What a family's own processor makes of real pictures and sounds, against what the tracer says that the model is fed.

Each processor is constructed from its settings and given blank media; nothing comes from a hub.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES

from foveate.ir import presets
from foveate.ir.families.defaults import default_config
from foveate.ir.families.row import Media
from foveate.ir.families.table import row_of
from foveate.ir.sources import built_on_meta, load_config
from foveate.ir.workload import Images, Workload

SIZES = [(336, 336), (672, 448), (200, 900), (1500, 1100)]
"""Height and width: square, upright, a wide strip, larger than every tower."""

_FIXED_336 = {"size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336}}
_FIXED_896 = {"size": {"height": 896, "width": 896}}

PRESETS: dict[str, dict[str, Any]] = {
    "aya-vision-8b": {},
    "blip2-opt-2.7b": {},
    "deepseek-vl-1.3b": {},
    "ernie-4.5-vl-28b-a3b": {},
    "florence-2-base": {},
    "gemma-3-4b": {},
    "gemma-4-e2b": {},
    "glm-4.1v-9b": {},
    "glm-4.6v-flash": {},
    "got-ocr-2.0": {"size": {"height": 1024, "width": 1024}},
    "idefics2-8b": {},
    "idefics3-8b": {},
    "internvl3-8b": {},
    "llama-3.2-11b-vision": {},
    "llava-1.5-7b": {},
    "llava-next-vicuna-7b": _FIXED_336,
    "llava-onevision-7b": {},
    "mistral-small-3.1-24b": {"patch_size": 28},  # as its processor calls it: patches of the tower times the merge
    "paddleocr-vl": {},
    "paligemma-3b-448": {},
    "qwen2-vl-7b": {},
    "qwen2.5-omni-7b": {},
    "qwen2.5-vl-7b": {},
    "qwen3-omni-30b-a3b": {},
    "qwen3-vl-8b": {},
    "qwen3.5-9b": {},
    "smolvlm2-2.2b": {},
    "video-llava-7b": {},
    "videollama3-7b": {},
}
"""Presets, with settings of the image processor beyond those that the preset carries."""

TYPES: dict[str, dict[str, Any]] = {
    "aria": {"max_image_size": 490},
    "blip": {},
    "deepseek_ocr2": {},
    "deepseek_vl_hybrid": {"size": {"height": 224, "width": 224}},
    "emu3": {},
    "exaone4_5": {},
    "git": {},
    "glm5_next": {},
    "glmga": {},
    "hunyuan_vl": {},
    "hyperclovax_vision_v2": {},
    "janus": {},
    "pix2struct": {},
    "pp_chart2table": {},
    "shieldgemma2": _FIXED_896,
    "t5gemma2": _FIXED_896,
    "vipllava": _FIXED_336,
}
"""Model types in their default configurations, with settings that make the processor fit it."""

OF_THE_PROMPT = {"cross_attention_mask"}
"""Arguments that the processor makes of the text."""


def image_processor(model_type: str, settings: Mapping[str, Any]) -> Any:
    """The family's own image processor, the one that needs no torchvision."""
    names = IMAGE_PROCESSOR_MAPPING_NAMES[model_type]
    return getattr(transformers, names["pil"] if "pil" in names else names["torchvision"])(**settings)


def fed(config: Any, settings: Mapping[str, Any], workload: Workload, modality: str) -> Media:
    """What the tracer feeds a model of this configuration."""
    config = getattr(config, "thinker_config", config)
    return row_of(config, settings).media(built_on_meta(config), modality, workload)


def cases() -> Iterator[Any]:
    for name, extra in PRESETS.items():
        found = presets.preset(name)
        yield pytest.param(found.model_type, name, dict(found.processor), extra, id=name)
    for model_type, extra in TYPES.items():
        yield pytest.param(model_type, None, {}, extra, id=model_type)


def assert_same(name: str, ours: torch.Tensor, theirs: Any) -> None:
    """Equal shapes, and equal numbers where the tracer knows them."""
    found = theirs if isinstance(theirs, torch.Tensor) else torch.as_tensor(np.stack([np.asarray(t) for t in theirs]))
    assert tuple(ours.shape) == tuple(found.shape), name
    if not ours.is_meta:
        assert torch.equal(found.to(ours.dtype), ours), name


@pytest.mark.parametrize("size", SIZES, ids=lambda size: "x".join(map(str, size)))
@pytest.mark.parametrize(("model_type", "preset", "settings", "extra"), list(cases()))
def test_a_picture_becomes_what_the_familys_processor_makes_of_it(
    model_type: str, preset: str | None, settings: dict[str, Any], extra: dict[str, Any], size: tuple[int, int]
) -> None:
    config = default_config(model_type) if preset is None else load_config(preset)
    media = fed(config, settings, Workload(images=(Images(1, *size),)), "image")
    pictures = [Image.new("RGB", (size[1], size[0]))]
    made = dict(image_processor(model_type, {**settings, **extra})(images=pictures, return_tensors="pt"))
    if model_type == "video_llava":
        made = {"pixel_values_images": made.get("pixel_values_images", made.get("pixel_values"))}
    compared = media.arguments.keys() - OF_THE_PROMPT
    assert compared
    for name in compared:
        assert_same(name, media.arguments[name], made[name])


def whisper(bins: int) -> Any:
    return transformers.WhisperFeatureExtractor(feature_size=bins)


SOUNDS: dict[str, tuple[Any, int]] = {
    "whisper-tiny": (lambda: whisper(80), 16_000),
    "whisper-large-v3": (lambda: whisper(128), 16_000),
    "moonshine-base": (lambda: transformers.Wav2Vec2FeatureExtractor(), 16_000),
    "qwen2-audio-7b": (lambda: whisper(128), 16_000),
    "voxtral-mini-3b": (lambda: whisper(128), 16_000),
    "phi-4-multimodal": (lambda: transformers.Phi4MultimodalFeatureExtractor(), 16_000),
    "qwen2.5-omni-7b": (lambda: whisper(128), 16_000),
    "qwen3-omni-30b-a3b": (lambda: whisper(128), 16_000),
    "glmasr": (lambda: whisper(128), 16_000),
    "vibevoice_asr": (lambda: transformers.VibeVoiceAcousticTokenizerFeatureExtractor(), 24_000),
}
"""Presets and model types with their feature extractor and its samples a second."""

MASKS = ("feature_attention_mask", "input_features_mask")
"""What processors rename the extractor's `attention_mask` to."""


@pytest.mark.parametrize("seconds", [30.0, 7.5])
@pytest.mark.parametrize("name", SOUNDS)
def test_a_sound_becomes_what_the_familys_extractor_makes_of_it(name: str, seconds: float) -> None:
    make, rate = SOUNDS[name]
    media = fed(load_config(name), {}, Workload(audio_seconds=(seconds,)), "audio")
    extractor, silence = make(), np.zeros(round(rate * seconds), dtype=np.float32)
    masked = {"return_attention_mask": True} if isinstance(extractor, transformers.WhisperFeatureExtractor) else {}
    made = dict(extractor(silence, sampling_rate=rate, return_tensors="pt", **masked))
    for argument, ours in media.arguments.items():
        assert_same(argument, ours, made["attention_mask" if argument in MASKS else argument])
