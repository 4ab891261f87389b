"""Calibration files with sounds: read at the processor's rate, refused with their line."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import WhisperFeatureExtractor

from foveate.common.errors import BadInput
from foveate.planner.fidelity.batches import batches, collate
from foveate.planner.fidelity.samples import read_jsonl

soundfile = pytest.importorskip("soundfile")
RATE = 16_000
EXTRACTOR = WhisperFeatureExtractor(feature_size=8)


class Transcriber:
    """A processor like Whisper's: a prompt would become the labels."""

    feature_extractor = EXTRACTOR

    def __call__(self, *, audio: Any, sampling_rate: int, return_tensors: str, text: str | None = None) -> Any:
        found = EXTRACTOR(audio, sampling_rate=sampling_rate, return_tensors=return_tensors)
        return found if text is None else {**found, "labels": torch.ones(1, 2)}


def tone(seconds: float, *, rate: int = RATE) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.sin(np.arange(round(seconds * rate)) * (2 * np.pi * 440 / rate)).astype(np.float32)


def written(folder: Path, *lines: str) -> Path:
    for name, seconds in (("short.wav", 1.0), ("long.wav", 31.0)):
        soundfile.write(folder / name, tone(seconds), RATE, subtype="FLOAT")
    (folder / "no.wav").write_text("no sound")
    path = folder / "data.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_sound_becomes_what_its_processor_makes_of_it(tmp_path: Path) -> None:
    (sample,) = read_jsonl(written(tmp_path, '{"audio": "short.wav", "answer": "la"}'), Transcriber())
    expected = EXTRACTOR(tone(1.0), sampling_rate=RATE, return_tensors="pt")["input_features"]
    assert torch.equal(sample.inputs["input_features"], expected)
    assert (sample.answer, sample.origin.endswith("data.jsonl, line 1")) == ("la", True)


def test_a_prompt_goes_to_processors_that_take_one(tmp_path: Path) -> None:
    def processor(*, text: str, audio: Any, sampling_rate: int, return_tensors: str) -> dict[str, torch.Tensor]:
        return {"input_ids": torch.tensor([[len(text), len(audio), sampling_rate]])}

    line = '{"audio": "short.wav", "prompt": "<audio> what is said"}'
    (sample,) = read_jsonl(written(tmp_path, line), processor)
    assert sample.inputs["input_ids"].tolist() == [[20, RATE, RATE]]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"audio": "none.wav"}', "line 2: there is no sound at .*none.wav"),
        ('{"audio": "no.wav"}', "line 2: .*no.wav is not a sound that can be read"),
        ('{"audio": "long.wav"}', "line 2: the sound lasts 31.0 s, and the model hears 30 s at once"),
        ('{"audio": "short.wav", "prompt": "x"}', "line 2: this model transcribes and takes no prompt"),
        ('{"answer": "x"}', "line 2: image, video or audio: one of them is required"),
        ('{"audio": ""}', "line 2: audio: String should have at least 1 character"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        read_jsonl(written(tmp_path, '{"audio": "short.wav"}', line), Transcriber())


def test_sounds_without_a_prompt_are_joined_as_they_are() -> None:
    samples = [
        SimpleNamespace(inputs={"input_features": torch.full((1, 2, 4), i), "attention_mask": torch.ones(1, 4)})
        for i in range(3)
    ]
    joined = collate(samples)  # type: ignore[arg-type]
    assert joined["input_features"][:, 0, 0].tolist() == [0, 1, 2]
    assert joined["attention_mask"].shape == (3, 4)
    assert [batch.rows for batch in batches(samples, size=2)] == [(0, 1), (2,)]  # type: ignore[arg-type]
