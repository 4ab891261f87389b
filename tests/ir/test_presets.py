"""Presets: what the files say builds the published model, parameter for parameter, and bad files are refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from copy import deepcopy
from math import prod
from typing import Any

import pytest

from foveate.common.errors import BadInput
from foveate.common.yaml_lines import parse
from foveate.ir.presets import Preset, find, load, names, preset, presets
from foveate.ir.presets.schema import preset_of

FAST = (
    "llava-1.5-7b",
    "qwen2.5-vl-7b",
    "qwen3-vl-30b-a3b",
    "internvl3-8b",
    "smolvlm2-2.2b",
    "llama-3.2-11b-vision",
    "qwen2-audio-7b",
    "whisper-large-v3-turbo",
)
WANTED = """
llava-1.5 llava-next llava-onevision qwen2-vl qwen2.5-vl qwen3-vl qwen2.5-omni qwen3-omni qwen2-audio internvl2.5
internvl3 idefics3 smolvlm2 gemma-3 paligemma2 pixtral mistral-small-3.1 llama-3.2 llama-4 phi-4-multimodal blip2
video-llava llava-next-video videollama3 voxtral granite-speech whisper-tiny whisper-base whisper-small whisper-medium
whisper-large-v2 whisper-large-v3
""".split()
GOOD = """\
model_type: llava
repository: someone/something
modalities: [image]
parameters: 7063427072
source: config.json of the public repository
config: {text_config: {vocab_size: 32064}}
"""
# What to write in place of what, the line that the error names, and what it says.
BAD = [
    ("model_type: llava\n", "", 1, "model_type is missing"),
    ("model_type:", "modeltype:", 1, "unknown key 'modeltype': did you mean 'model_type'?"),
    ("[image]", "[picture]", 3, "'picture'; it should be 'image', 'video' or 'audio'"),
    ("[image]", "[image, image]", 3, "names a modality twice"),
    ("[image]", "[]", 3, "modalities is []"),
    ("7063427072", "0", 4, "parameters is 0; it should be greater than 0"),
    ("7063427072", "7e9.5", 4, "parameters is '7e9.5'; it should be a valid integer"),
    ("config.json of the public repository", "''", 5, "source is ''"),
    ("someone/something", "something", 2, "repository is 'something'"),
    ("{text_config:", "{model_type: llava, text_config:", 6, "model_type does not belong into config"),
]


def counted(name: str) -> int:
    """Parameters of the model that transformers builds from a preset, each shared tensor once."""
    import torch
    from transformers.models.auto import modeling_auto

    config = load(name)
    mappings: tuple[Any, ...] = (
        modeling_auto.MODEL_FOR_MULTIMODAL_LM_MAPPING,
        modeling_auto.MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING,
    )
    model_class = next(mapping[type(config)] for mapping in mappings if type(config) in mapping)
    with torch.device("meta"):
        model = model_class._from_config(config)
    model.tie_weights()
    return sum(parameter.numel() for parameter in model.parameters())


def values(config: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every value that is no mapping."""
    for key, value in config.items():
        if isinstance(value, Mapping) and value and key != "rope_parameters":
            yield from values(value, (*path, key))
        else:
            yield (*path, key)


def one_side(size: Any) -> int:
    """The side of a square that a configuration may give as one number or as two."""
    return int(size[0] if isinstance(size, list | tuple) else size)


def test_there_are_at_least_sixty_over_three_modalities() -> None:
    assert len(names()) >= 60
    assert {modality for found in presets() for modality in found.modalities} == {"image", "video", "audio"}


@pytest.mark.parametrize("family", WANTED)
def test_every_wanted_family_is_there(family: str) -> None:
    assert any(name.startswith(family) for name in names())


@pytest.mark.parametrize("name", FAST)
def test_the_built_model_has_the_published_number_of_parameters(name: str) -> None:
    assert counted(name) == preset(name).parameters


@pytest.mark.slow
@pytest.mark.parametrize("found", [found for found in presets() if found.parameters], ids=lambda found: found.name)
def test_every_built_model_has_the_published_number_of_parameters(found: Preset) -> None:
    assert counted(found.name) == pytest.approx(found.parameters, rel=0.005)


@pytest.mark.slow
@pytest.mark.parametrize("found", [found for found in presets() if not found.parameters], ids=lambda found: found.name)
def test_every_model_without_a_published_number_builds(found: Preset) -> None:
    assert counted(found.name) > 0


@pytest.mark.slow
@pytest.mark.parametrize("found", presets(), ids=lambda found: found.name)
def test_every_value_says_something(found: Preset) -> None:
    """Leaving a value out changes the configuration: none of them repeats a default."""
    from foveate.ir.sources import config_of

    whole = load(found.name).to_dict()
    for path in values(found.config):
        without: dict[str, Any] = {**deepcopy(dict(found.config)), "model_type": found.model_type}
        parent = without
        for key in path[:-1]:
            parent = parent[key]
        del parent[path[-1]]
        with suppress(BadInput):  # the others may not stand without it
            assert config_of(without, found.name).to_dict() != whole, path


@pytest.mark.slow
@pytest.mark.parametrize("name", names())
def test_the_tokens_that_stand_for_media_have_a_row_in_the_vocabulary(name: str) -> None:
    config = load(name)
    config = getattr(config, "thinker_config", config)
    text = getattr(config, "text_config", config)
    extra = 8 if config.model_type == "mllama" else getattr(text, "additional_vocab_size", 0)
    keys = [f"{modality}_token_{kind}" for modality in preset(name).modalities for kind in ("id", "index")]
    for token in (getattr(config, key) for key in keys if hasattr(config, key)):
        assert 0 <= token < text.vocab_size + extra


# Tokens that one tile of a picture becomes, as the papers say.
@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("llava-1.5-7b", 576),
        ("llava-next-mistral-7b", 576),
        ("llava-onevision-7b", 729),
        ("paligemma-3b-224", 256),
        ("paligemma2-3b-448", 1024),
        ("internvl3-8b", 256),
        ("idefics3-8b", 169),
        ("smolvlm2-500m", 64),
        ("smolvlm2-2.2b", 81),
        ("llama-4-scout-17b-16e", 144),
    ],
)
def test_a_tile_becomes_as_many_tokens_as_the_paper_says(name: str, tokens: int) -> None:
    config = load(name)
    vision = config.vision_config
    side, patch = (
        value[0] if isinstance(value, list | tuple) else value for value in (vision.image_size, vision.patch_size)
    )
    shrink = getattr(config, "scale_factor", None) or round(1 / getattr(config, "downsample_ratio", 1.0))
    if name.startswith("llama-4"):
        shrink = round(1 / vision.pixel_shuffle_ratio)
    assert (side // patch) ** 2 // shrink**2 == tokens


@pytest.mark.parametrize("name", [found.name for found in presets() if "patch_size" in found.processor])
def test_the_processor_cuts_patches_of_the_towers_size(name: str) -> None:
    config = load(name)
    config = getattr(config, "thinker_config", config)
    assert preset(name).processor["patch_size"] == one_side(config.vision_config.patch_size)


@pytest.mark.parametrize("name", [found.name for found in presets() if "feature_size" in found.processor])
def test_the_sound_processor_fills_the_encoders_window(name: str) -> None:
    """30 s at 100 frames per second, halved by the second convolution, are the encoder's positions."""
    config, processor = load(name), preset(name).processor
    encoder = getattr(config, "audio_config", config)
    assert processor["feature_size"] == encoder.num_mel_bins
    frames = processor["chunk_length"] * processor["sampling_rate"] // processor["hop_length"]
    assert frames == 2 * encoder.max_source_positions


def test_a_pooled_tower_keeps_the_square_of_its_pool() -> None:
    config = load("gemma-3-4b")
    patches = prod((config.vision_config.image_size // config.vision_config.patch_size,) * 2)
    assert patches // config.mm_tokens_per_image == 4 * 4


def test_a_configuration_is_new_at_each_call() -> None:
    load("llava-1.5-7b").text_config.vocab_size = 7
    assert load("llava-1.5-7b").text_config.vocab_size == 32064


def test_find_is_load_or_none() -> None:
    found = find("qwen2-vl-2b")
    assert found is not None
    assert found.to_dict() == load("qwen2-vl-2b").to_dict()
    assert find("qwen2-vl-2") is None


def test_an_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(BadInput, match=r"unknown preset 'Qwen2\.5_VL-7b': did you mean 'qwen2\.5-vl-7b'\?"):
        load("Qwen2.5_VL-7b")


def test_a_good_file_is_read() -> None:
    found = preset_of("mine", parse(GOOD, source="mine.yaml"))
    assert found.source == ("config.json of the public repository",)
    assert found.config == {"text_config": {"vocab_size": 32064}}
    assert (found.name, found.modalities, found.processor) == ("mine", ("image",), {})


@pytest.mark.parametrize(("good", "bad", "line", "sentence"), BAD)
def test_a_bad_file_is_refused_in_one_sentence(good: str, bad: str, line: int, sentence: str) -> None:
    assert good in GOOD
    with pytest.raises(BadInput) as refusal:
        preset_of("mine", parse(GOOD.replace(good, bad, 1), source="mine.yaml"))
    assert str(refusal.value).startswith(f"mine.yaml, line {line}: ")
    assert sentence in str(refusal.value)


def test_listing_loads_neither_torch_nor_transformers() -> None:
    script = (
        "import sys; from foveate.ir.presets import presets; assert presets(); "
        "print(sorted({'torch', 'transformers', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
