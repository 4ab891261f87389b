"""The processor against transformers' own for pictures, and the batched tower against the tower's own forward."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from foveate.common.errors import BadInput
from foveate.testbed.video import samples
from foveate.testbed.video.model import TOY, build_model, build_tokenizer
from foveate.testbed.video.patches import encode_steps
from foveate.testbed.video.processor import VideoProcessor, settings


@pytest.fixture(scope="module")
def processor() -> VideoProcessor:
    return VideoProcessor(build_tokenizer())


def test_a_pair_of_equal_frames_gives_what_transformers_gives_for_the_picture(processor: VideoProcessor) -> None:
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    options = {key: value for key, value in settings()["image_processor"].items() if key != "image_processor_type"}
    picture = samples("heldout", 1)[0].frames[0]
    theirs = Qwen2VLImageProcessorPil(**options)(images=[picture], return_tensors="pt")
    ours = processor(np.stack([picture, picture]), "<video>")
    torch.testing.assert_close(ours["pixel_values_videos"], theirs["pixel_values"], atol=1e-5, rtol=1e-5)
    assert ours["video_grid_thw"].tolist() == theirs["image_grid_thw"].tolist() == [[1, 14, 14]]


def test_frames_keep_their_place_in_a_patch(processor: VideoProcessor) -> None:
    frames = samples("heldout", 1)[0].frames
    rows = processor(frames, "<video>")["pixel_values_videos"].view(8, 7, 7, 2, 2, 3, 2, 8, 8)
    for frame, y, x, channel in [(0, 0, 0, 0), (5, 17, 100, 1), (15, 111, 63, 2)]:
        step, pair = divmod(frame, 2)
        place = rows[step, y // 16, x // 16, y // 8 % 2, x // 8 % 2, channel, pair, y % 8, x % 8]
        assert float(place) == pytest.approx(frames[frame, y, x, channel] / 127.5 - 1, abs=1e-6)


def test_the_tensors_fit_the_model_and_padding_is_left(processor: VideoProcessor) -> None:
    drawn = samples("heldout", 3)
    inputs = processor([sample.frames for sample in drawn], [sample.prompt for sample in drawn])
    assert ((inputs["input_ids"] == processor.video_token_id).sum(1) == 392).all()
    assert torch.equal(inputs["mm_token_type_ids"] == 2, inputs["input_ids"] == processor.video_token_id)
    assert inputs["attention_mask"][:, -1].all()
    model = build_model(TOY).eval()
    alone = processor(drawn[0].frames, drawn[0].prompt)
    with torch.no_grad():
        together, single = model(**inputs).logits[0, -1], model(**alone).logits[0, -1]
    torch.testing.assert_close(together, single, atol=1e-4, rtol=1e-3)


def test_an_odd_frame_is_repeated(processor: VideoProcessor) -> None:
    frames = samples("heldout", 1)[0].frames
    odd = processor(frames[:3], "<video>")
    even = processor(np.concatenate([frames[:3], frames[2:3]]), "<video>")
    assert torch.equal(odd["pixel_values_videos"], even["pixel_values_videos"])


def test_what_the_model_cannot_take_is_refused(processor: VideoProcessor) -> None:
    with pytest.raises(BadInput, match=r"shape \(16, 64, 64, 3\)"):
        processor(np.zeros((16, 64, 64, 3), np.uint8), "<video>")
    with pytest.raises(BadInput, match="2 <video> marks for 1 clips"):
        processor(np.zeros((2, 112, 112, 3), np.uint8), ["<video> is", "<video> what"])
    with pytest.raises(BadInput, match="no clip"):
        processor([], "is there a dog")


def test_it_survives_a_folder_and_names_the_standard_processor(processor: VideoProcessor, tmp_path: Path) -> None:
    processor.save_pretrained(tmp_path)
    again = VideoProcessor.from_pretrained(tmp_path)
    sample = samples("heldout", 1)[0]
    first, second = (one(sample.frames, sample.prompt) for one in (processor, again))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert set(first) == set(again.model_input_names)
    written = json.loads((tmp_path / "processor_config.json").read_text())
    assert written["processor_class"] == "Qwen2VLProcessor"


def test_the_batched_tower_is_the_towers_own_forward(processor: VideoProcessor) -> None:
    model = build_model(TOY).eval()
    frames = samples("heldout", 1)[0].frames
    inputs = processor(frames, "<video>")
    with torch.no_grad():
        own = model.model.visual(inputs["pixel_values_videos"], grid_thw=inputs["video_grid_thw"]).pooler_output
        steps = torch.from_numpy(frames.reshape(8, 2, 112, 112, 3))
        ours = model.model.visual.merger.mlp(encode_steps(model.model.visual, steps)).flatten(0, 1)
    torch.testing.assert_close(ours, own, atol=1e-5, rtol=1e-4)
