"""`foveate overlay`: a drawing of what a plan keeps, and one clear sentence where there can be none."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from cross_models import sounds, whisper
from family_cases import BY_NAME
from live_families import batch
from PIL import Image

from foveate.cli.inputs import Media
from foveate.cli.kept_tokens import kept_tokens, shown_pictures
from foveate.cli.models import Loaded
from foveate.ir.placement import Placement
from foveate.ir.plan import Plan

from .test_media import hearing_model, video_model, write_clip, write_tone

__all__ = ["hearing_model", "video_model"]  # fixtures


@pytest.mark.usefixtures("embedded")
@pytest.mark.parametrize(
    ("method", "site", "remain"),
    [("uniform", "image.projector.output", 64), ("downsample", "image.input", 64), ("random", "decoder.layers.1", 64)],
)
def test_kept_patches_of_a_picture_stay_bright(
    foveate: Callable[..., Any],
    picture: Path,
    write_plan: Callable[..., Path],
    tmp_path: Path,
    method: str,
    site: str,
    remain: int,
) -> None:
    target = tmp_path / "kept.png"
    found = foveate("overlay", "testbed", "--plan", write_plan(method, site), "--image", picture, "-o", target)
    assert found.code == 0, found.err
    assert f"{remain} of 256 image tokens remain after {site}" in found.out
    drawn = np.asarray(Image.open(target)).astype(int)
    cells = drawn.reshape(16, drawn.shape[0] // 16, 16, drawn.shape[1] // 16, 3)[:, 4:-4, :, 4:-4].mean(axis=(1, 3))
    bright = np.abs(cells - (90, 120, 30)).max(axis=-1) < 8
    assert bright.sum() == remain


@pytest.mark.usefixtures("embedded")
def test_one_of_several_placements_can_be_named(foveate: Callable[..., Any], picture: Path, tmp_path: Path) -> None:
    plan = tmp_path / "two.yaml"
    plan.write_text(
        "foveate: 1\nplacements:\n- {pass: downsample, site: image.input, keep: 0.25}\n"
        "- {pass: random, site: image.projector.output, keep: 0.5}\n"
    )
    asked = ("overlay", "testbed", "--plan", plan, "--image", picture, "-o", tmp_path / "kept.png")
    assert "32 of 256 image tokens remain after image.projector.output" in foveate(*asked).out
    assert "64 of 256 image tokens remain after image.input" in foveate(*asked, "--site", "image.input").out
    refused = foveate(*asked, "--site", "decoder.layers.1")
    assert refused.code == 2
    assert "its sites are image.input, image.projector.output" in refused.sentence


@pytest.mark.usefixtures("embedded")
def test_bad_input_is_one_sentence(
    foveate: Callable[..., Any], picture: Path, write_plan: Callable[..., Path], tmp_path: Path
) -> None:
    plan = write_plan()
    asked = ("overlay", "testbed", "--plan", plan)
    assert "give --image, --video or --audio" in foveate(*asked).sentence
    assert "one medium" in foveate(*asked, "--image", picture, "--video", picture).sentence
    assert "there is no picture at" in foveate(*asked, "--image", tmp_path / "none.png").sentence
    assert "there is no clip at" in foveate(*asked, "--video", tmp_path / "none.mp4").sentence
    text = tmp_path / "text.png"
    text.write_text("no picture")
    assert "is not a picture that can be read" in foveate(*asked, "--image", text).sentence
    unfit = write_plan("uniform-frames", "video.input")
    found = foveate("overlay", "testbed", "--plan", unfit, "--image", picture)
    assert found.code == 2
    assert "no placement that acts on image" in found.sentence
    refused = foveate("run", "testbed", "--plan", unfit, "--image", picture, "--prompt", "is there a dog")
    assert refused.code == 2
    assert "video" in refused.sentence


@pytest.mark.usefixtures("embedded")
def test_a_library_that_is_missing_is_named(
    foveate: Callable[..., Any],
    picture: Path,
    write_plan: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    found = foveate("overlay", "testbed", "--plan", write_plan(), "--video", picture)
    assert found.code == 2
    assert "PyAV" in found.sentence


@pytest.mark.parametrize("name", ["llava_next_video", "qwen2_vl-video"])
def test_a_clip_is_a_sheet_of_what_the_model_saw(name: str) -> None:
    """Normalised frames are turned back into pictures; of rows of patches the clip's own frames are shown."""
    case = BY_NAME[name]
    loaded = Loaded(name, case.build(), SimpleNamespace(image_processor=None))
    inputs, where = batch(case, rows=1)
    inputs = {key: value.clone() for key, value in inputs.items()}
    if name == "llava_next_video":
        inputs["pixel_values_videos"][:] = torch.linspace(-1, 1, 3)[None, :, None, None, None]
    clip = np.repeat(np.array([0, 0, 128, 128, 255, 255], np.uint8), 56 * 112 * 3).reshape(6, 56, 112, 3)
    plan = Plan.of(Placement("uniform-frames", "video.input", 0.34))
    _, layouts, kept = kept_tokens(loaded, plan, inputs, "video")
    places = len(where[0][1]) // 3
    assert kept == [list(range(places, 2 * places))]
    shown = shown_pictures(loaded, Media(clips=[clip]), inputs, "video")
    assert [round(float(np.asarray(frame).mean())) for frame in shown] == [0, 128, 255]
    assert layouts[0].grid is not None
    assert layouts[0].grid[0] == 3


@dataclass
class Extractor:
    chunk_length: int = 30


def test_the_tokens_of_a_sound_are_those_of_the_plan(tmp_path: Path) -> None:
    loaded = Loaded("whisper", whisper(), SimpleNamespace(feature_extractor=Extractor()))
    inputs = {"input_features": sounds(1)["input_features"]}
    inputs["input_features"][..., 12:] = -9.0
    plan = Plan.of(Placement("trim-padding", "audio.input", 0.25))
    where, layouts, kept = kept_tokens(loaded, plan, inputs, "audio")
    assert (where, layouts[0].count) == ("audio.input", 24)
    assert kept == [list(range(6))]
    assert torch.equal(inputs["input_features"][..., 12:], torch.full((1, 8, 36), -9.0))


@pytest.mark.usefixtures("video_model")
def test_the_frames_of_a_clip_that_are_encoded_stay_bright(
    foveate: Callable[..., Any], write_plan: Callable[..., Path], tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", [120] * 16, size=112)
    plan, target = write_plan("uniform-frames", "video.input", 0.25), tmp_path / "kept.png"
    found = foveate("overlay", "testbed-video", "--plan", plan, "--video", clip, "-o", target)
    assert found.code == 0, found.err
    assert "98 of 392 video tokens remain after video.input" in found.out
    drawn = np.asarray(Image.open(target)).astype(int)
    frames = [drawn[20:-20, 230 * number + 20 : 230 * number + 204] for number in range(8)]
    outlined = [bool((frame[..., 2] < 30).any()) for frame in frames]  # yellow outlines have no blue
    assert outlined == [number in (2, 6) for number in range(8)]


def test_kept_seconds_of_a_sound_are_lit(
    foveate: Callable[..., Any], write_plan: Callable[..., Path], hearing_model: Path, tmp_path: Path
) -> None:
    tone = write_tone(tmp_path / "tone.wav")
    plan, target = write_plan("trim-padding", "audio.input", 0.2), tmp_path / "kept.png"
    found = foveate("overlay", hearing_model, "--plan", plan, "--audio", tone, "-o", target)
    assert found.code == 0, found.err
    assert "5 of 25 audio tokens remain after audio.input" in found.out
    drawn = np.asarray(Image.open(target)).astype(int)
    lit = drawn[100, :, 0] - drawn[100, :, 2] > 100
    assert lit.sum() == 5 * 1200 // 25
