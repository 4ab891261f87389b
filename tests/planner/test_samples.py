"""Calibration files: what is read, and what is refused with its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from foveate.common.errors import BadInput
from foveate.planner.fidelity.batches import batches, collate
from foveate.planner.fidelity.samples import CalibrationSample, read_jsonl, split, workload_of


def processor(*, images: Image.Image, text: str, return_tensors: str) -> dict[str, torch.Tensor]:
    """Words become their lengths; a prompt without the image token is refused, as real processors do."""
    if "<image>" not in text:
        raise ValueError("no image token in the prompt")
    ids = torch.tensor([[len(word) for word in text.split()]])
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": torch.zeros(1, 3, *images.size)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    return tmp_path


def written(folder: Path, *lines: str) -> Path:
    path = folder / "data.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


GOOD = '{"image": "a.png", "prompt": "<image> what is it", "answer": "a cat"}'


def test_lines_become_samples(folder: Path) -> None:
    found = read_jsonl(written(folder, GOOD, "", GOOD.replace(', "answer": "a cat"', "")), processor)
    assert [s.answer for s in found] == ["a cat", None]
    assert found[0].inputs["input_ids"].tolist() == [[7, 4, 2, 2]]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{not json", "line 2: this is not JSON"),
        ("[1, 2]", "line 2: an object is expected"),
        ('{"image": "a.png"}', "line 2: prompt: Field required"),
        ('{"image": "a.png", "prompt": 3}', "line 2: prompt: "),
        ('{"image": "a.png", "promt": "x"}', "line 2: unknown key 'promt': did you mean 'prompt'"),
        ('{"image": "b.png", "prompt": "<image> x"}', "line 2: the picture .*b.png cannot be read"),
        ('{"image": "data.jsonl", "prompt": "<image> x"}', "line 2: the picture .* cannot be read"),
        ('{"image": "a.png", "prompt": "x"}', "line 2: the processor refuses this sample: no image token"),
        ('{"image": ["a.png", "b.png"], "prompt": "<image> x"}', "line 2: the picture .*b.png cannot be read"),
        ('{"image": [], "prompt": "x"}', "line 2: image: List should have at least 1 item"),
        ('{"image": ["a.png", ""], "prompt": "x"}', "line 2: image.1: String should have at least 1 character"),
        ('{"image": 3, "prompt": "x"}', "line 2: image: Input should be a valid list; write .*path or list of paths"),
        ('{"prompt": "x"}', "line 2: image, video or audio: one of them is required"),
    ],
)
def test_a_bad_line_is_named(folder: Path, line: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        read_jsonl(written(folder, GOOD, line), processor)


def test_an_empty_or_missing_file_is_refused(folder: Path) -> None:
    with pytest.raises(BadInput, match="it holds no sample"):
        read_jsonl(written(folder, "", " "), processor)
    with pytest.raises(BadInput, match="no such file"):
        read_jsonl(folder / "nothing.jsonl", processor)


def test_pictures_of_one_prompt_reach_the_processor_in_order(tmp_path: Path) -> None:
    given: list[Any] = []

    def seeing(*, images: Any, text: str, return_tensors: str) -> dict[str, torch.Tensor]:
        given.append(images)
        return {"input_ids": torch.ones(1, 3)}

    for name, colour in (("red", (250, 0, 0)), ("blue", (0, 0, 250))):
        Image.new("RGB", (4, 4), colour).save(tmp_path / f"{name}.png")
    read_jsonl(written(tmp_path, '{"image": ["blue.png", "red.png"], "prompt": "x"}'), seeing)
    assert [picture.getpixel((0, 0)) for picture in given.pop()] == [(0, 0, 250), (250, 0, 0)]
    read_jsonl(written(tmp_path, '{"image": ["red.png"], "prompt": "x"}'), seeing)
    assert given.pop().getpixel((0, 0)) == (250, 0, 0)


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85"])
def test_only_line_feeds_end_a_line(folder: Path, mark: str) -> None:
    line = json.dumps({"image": "a.png", "prompt": "<image> x", "answer": f"a{mark}b"}, ensure_ascii=False)
    path = folder / "data.jsonl"
    path.write_bytes(f"{line}\r\n{line}\n".encode())
    found = read_jsonl(path, processor)
    assert [(s.answer, s.origin[-6:]) for s in found] == [(f"a{mark}b", "line 1"), (f"a{mark}b", "line 2")]


def sample(length: int, side: int = 4) -> CalibrationSample:
    ids = torch.arange(1, length + 1)[None]
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": torch.zeros(1, 3, side, side)}
    return CalibrationSample(inputs)


def test_prompts_are_padded_on_the_left() -> None:
    joined = collate([sample(2), sample(4)], pad=9)
    assert joined["input_ids"].tolist() == [[9, 9, 1, 2], [1, 2, 3, 4]]
    assert joined["attention_mask"].tolist() == [[0, 0, 1, 1], [1, 1, 1, 1]]
    assert joined["pixel_values"].shape == (2, 3, 4, 4)


def test_batches_hold_one_shape_of_media_and_every_sample_once() -> None:
    made = batches([sample(3, side=4 if i % 3 else 6) for i in range(10)], size=4)
    assert sorted(row for batch in made for row in batch.rows) == list(range(10))
    assert all(len({row % 3 == 0 for row in batch.rows}) == 1 for batch in made)
    assert max(len(batch.rows) for batch in made) == 4


def test_some_samples_are_held_out() -> None:
    made = [sample(n) for n in range(1, 10)]
    asked, decisive = split(made, None)
    lengths = [[s.inputs["input_ids"].shape[1] for s in part] for part in (asked, decisive)]
    assert lengths == [[1, 2, 4, 5, 7, 8], [3, 6, 9]]
    assert split(made[:1], made[1:]) == (made[:1], made[1:])
    with pytest.raises(BadInput, match="2 calibration samples are too few"):
        split(made[:2], None)


def test_the_workload_is_what_the_samples_carry() -> None:
    found: Any = workload_of([sample(5), sample(8)], 3, new_tokens=5)
    assert str(found) == "image=1x4x4,text=7,new=5"
    assert workload_of([CalibrationSample({"input_ids": torch.ones(1, 3)})], 3, new_tokens=5) is None


IMAGE, VIDEO = 3, 4


def carrying(**media: torch.Tensor) -> list[CalibrationSample]:
    """One sample whose prompt of seven tokens has one placeholder of a picture and one of a clip."""
    return [CalibrationSample({"input_ids": torch.tensor([[1, 1, IMAGE, 1, VIDEO, 1, 1]]), **media})]


@pytest.mark.parametrize(
    ("media", "workload"),
    [
        ({"pixel_values": (2, 3, 8, 6)}, "image=2x8x6,text=5,new=5"),
        ({"pixel_values_videos": (1, 16, 3, 8, 6)}, "video=16x8x6,text=5,new=5"),
        (
            {"pixel_values": (1, 3, 4, 4), "pixel_values_videos": (1, 2, 3, 8, 6)},
            "image=1x4x4,video=2x8x6,text=5,new=5",
        ),
        ({"pixel_values": (1, 5, 3, 8, 6)}, None),  # tiles of a picture
        ({"pixel_values": (64, 1176)}, None),  # patches
        ({"pixel_values_videos": (64, 1176)}, None),
        ({"pixel_values": (1, 3, 4, 4), "pixel_values_videos": (64, 1176)}, None),
        ({"pixel_values": (1, 3, 4, 4), "input_features": (1, 80, 100)}, None),
    ],
)
def test_pictures_and_clips_make_up_a_workload(media: dict[str, tuple[int, ...]], workload: str | None) -> None:
    made = carrying(**{name: torch.zeros(shape) for name, shape in media.items()})
    found = workload_of(made, IMAGE, new_tokens=5, video_token=VIDEO)
    assert (None if found is None else str(found)) == workload


def test_media_without_a_known_placeholder_make_up_no_workload() -> None:
    pictures, clips = carrying(pixel_values=torch.zeros(1, 3, 4, 4)), carrying(pixel_values_videos=torch.zeros(5 * [1]))
    assert workload_of(pictures, None, new_tokens=5, video_token=VIDEO) is None
    assert workload_of(clips, IMAGE, new_tokens=5) is None


def test_pictures_padded_to_one_size_make_up_no_workload() -> None:
    pixels = torch.zeros(2, 3, 8, 6)
    alike, padded = torch.tensor([[8, 6], [8, 6]]), torch.tensor([[8, 6], [4, 6]])
    assert workload_of(carrying(pixel_values=pixels, image_sizes=padded), IMAGE, new_tokens=5) is None
    found = workload_of(carrying(pixel_values=pixels, image_sizes=alike), IMAGE, new_tokens=5)
    assert str(found) == "image=2x8x6,text=6,new=5"
