"""One plan on several modalities of one prompt, at several sites: everything composes, step by step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers as t
from family_cases import BY_NAME, next_pictures, onevision_clips
from layer_oracle import dropped_columns, forced_logits, hiding
from live_families import FIRST_WORD, WORDS, Case, batch
from omni_cases import everything, qwen2_5_omni, qwen3_omni

from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.runtime import apply
from foveate.runtime.adapters import adapter_of

KINDS = ("image", "video", "audio")


def picture_and_clip(row: int) -> tuple[list[Any], dict[str, torch.Tensor]]:
    pictures, clips = next_pictures(row), onevision_clips(row)
    return pictures[0] + clips[0], pictures[1] | clips[1]


CASES = {
    "qwen2_5_omni": (Case("qwen2_5_omni", qwen2_5_omni, everything), KINDS),
    "qwen3_omni": (Case("qwen3_omni", qwen3_omni, lambda row: everything(row, strides=3)), KINDS),
    "llava_onevision": (Case("both", BY_NAME["llava_onevision"].build, picture_and_clip), KINDS[:2]),
}


def columns(inputs: Any, where: list[Any], kept: torch.Tensor, kinds: tuple[str, ...], chosen: str) -> torch.Tensor:
    """What one modality's media lose; `where` has them prompt by prompt, in the order of `kinds`."""
    return dropped_columns(inputs, where[kinds.index(chosen) :: len(kinds)], kept)


def answer(rows: int) -> torch.Tensor:
    return torch.randint(FIRST_WORD, WORDS, (rows, 16), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", CASES)
def test_each_modality_has_its_own_pass_and_one_more_inside_the_decoder(name: str) -> None:
    case, kinds = CASES[name]
    model = case.build()
    inputs, where = batch(case, rows=2)
    keeps = dict(zip(kinds, (0.5, 0.25, 0.75), strict=False))
    placements = [Placement("random", f"{kind}.projector.output", keep) for kind, keep in keeps.items()]
    inside = Placement("random", "decoder.layers.2", 0.5, modality=(kinds[0],))
    with apply(model, Plan.of(*placements, inside)) as handle:
        compressed = forced_logits(model, inputs, answer(2))
        kept = handle.selections
    outside = [columns(inputs, where, kept[f"{kind}.projector.output"], kinds, kind) for kind in kinds]
    hidden = {0: torch.stack(outside).any(dim=0), 2: columns(inputs, where, kept["decoder.layers.2"], kinds, kinds[0])}
    assert hidden[0].any()
    assert (hidden[2] & ~hidden[0]).any()
    with hiding(adapter_of(model.config).decoder(model), hidden):
        expected = forced_logits(model, inputs, answer(2))
    assert (compressed - expected).abs().max() < 1e-5


@pytest.mark.parametrize("modality", KINDS)
def test_a_pass_on_one_modality_leaves_the_others_alone(modality: str) -> None:
    case, kinds = CASES["qwen2_5_omni"]
    model = case.build()
    inputs, where = batch(case, rows=2)
    with apply(model, Plan.of(Placement("random", "decoder.layers.1", 0.5, modality=(modality,)))) as handle:
        compressed = forced_logits(model, inputs, answer(2))
        kept = handle.selections["decoder.layers.1"]
    with hiding(adapter_of(model.config).decoder(model), {1: columns(inputs, where, kept, kinds, modality)}):
        expected = forced_logits(model, inputs, answer(2))
    assert (compressed - expected).abs().max() < 1e-5


def test_sounds_between_the_frames_of_their_clip() -> None:
    """`use_audio_in_video` interleaves both kinds of placeholders; each keeps its own order."""
    case, _ = CASES["qwen2_5_omni"]
    model = case.build()
    inputs, where = interleaved()
    with apply(model, Plan.of(*(Placement("random", f"{kind}.projector.output", 0.5) for kind in KINDS[1:]))) as handle:
        with torch.no_grad():
            compressed = model(**inputs, use_audio_in_video=True).logits[:, -1]
        kept = handle.selections
    hidden = [dropped_columns(inputs, [where[kind]], kept[f"{kind}.projector.output"]) for kind in KINDS[1:]]
    with hiding(adapter_of(model.config).decoder(model), {0: hidden[0] | hidden[1]}), torch.no_grad():
        expected = model(**inputs, use_audio_in_video=True).logits[:, -1]
    assert (compressed - expected).abs().max() < 1e-5


def interleaved() -> tuple[dict[str, torch.Tensor], dict[str, tuple[int, list[int]]]]:
    """A clip of two steps and a sound of two seconds' chunk, as the processor interleaves them."""
    from omni_cases import SOUND_END, SOUND_START, VISION_END, VISION_START, clip, sound

    (video,), pictures = clip(2)
    (heard,), sounds = sound(0)
    frames, tones = len(video.compressible), len(heard.compressible)
    ids = [1, VISION_START, SOUND_START, *[4] * frames, *[5] * tones, SOUND_END, VISION_END, 20, 21, 22]
    inputs = {"input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, len(ids), dtype=torch.long)}
    places = {"video": (0, list(range(3, 3 + frames))), "audio": (0, list(range(3 + frames, 3 + frames + tones)))}
    return inputs | pictures | sounds, places


def test_a_plan_on_the_whole_omni_model_runs_in_its_thinker() -> None:
    case, _ = CASES["qwen2_5_omni"]
    whole = t.Qwen2_5OmniForConditionalGeneration(
        t.Qwen2_5OmniConfig(thinker_config=case.build().config.to_dict(), enable_audio_output=False)
    ).eval()
    whole.thinker = case.build()
    inputs, _ = batch(case, rows=1)
    plan = Plan.of(
        Placement("random", "image.projector.output", 0.5), Placement("random", "audio.projector.output", 0.5)
    )
    with apply(whole.thinker, plan):
        expected = forced_logits(whole.thinker, inputs, answer(1))
    with apply(whole, plan) as handle:
        assert torch.equal(forced_logits(whole.thinker, inputs, answer(1)), expected)
    assert set(handle.selections) == {"image.projector.output", "audio.projector.output"}
