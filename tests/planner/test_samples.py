"""Calibration files: what is read, and what is refused with its line."""

from __future__ import annotations

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
