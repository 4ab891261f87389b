"""Calibration samples: what the model is asked when a plan's fidelity is measured."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ...common.errors import BadInput
from ...common.files import read_text
from ...common.names import unknown
from ...ir.workload import Images, Workload

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class CalibrationSample:
    """One request.

    Attributes:
        inputs: what the processor returns for it, a batch of one: `input_ids` and `attention_mask` (1, L), and media.
        answer: the right answer, where it is known.
        origin: the file and line that it was read from.
    """

    inputs: Mapping[str, torch.Tensor]
    answer: str | None = None
    origin: str = ""


class _Line(BaseModel):
    """One line of a calibration file."""

    model_config = ConfigDict(extra="forbid")

    image: str = Field(min_length=1)
    prompt: str = Field(min_length=1)
    answer: str | None = None


def from_testbed(samples: Iterable[Any], processor: Any) -> list[CalibrationSample]:
    """Samples of a testbed (objects with `image` or `frames`, `prompt` and `answer`) through `processor`."""
    return [CalibrationSample(_processed(processor, s.prompt, **_media(s)), s.answer) for s in samples]


def read_jsonl(path: str | os.PathLike[str], processor: Any) -> list[CalibrationSample]:
    """The samples of a JSON Lines file: `{"image": path, "prompt": text, "answer": optional text}` on each line.

    Image paths are relative to the file; prompts are complete, image token included. Empty lines are skipped.

    Raises:
        BadInput: no such file, no sample in it, or a line that cannot be used; the sentence names the line.
    """
    source = Path(path)
    lines = read_text(source).splitlines()
    samples = [_sample(source, i, text, processor) for i, text in enumerate(lines, start=1) if text.strip()]
    if not samples:
        raise BadInput.at(source, None, "it holds no sample", 'write {"image": path, "prompt": text} lines')
    return samples


def workload_of(samples: Sequence[CalibrationSample], image_token: int | None, *, new_tokens: int) -> Workload | None:
    """The workload that the samples make up: pictures of the first one, the longest text; None for other media."""
    pixels = samples[0].inputs.get("pixel_values")
    if pixels is None or pixels.dim() != 4 or image_token is None:
        return None
    text = max(int((s.inputs["input_ids"] != image_token).sum()) for s in samples)
    count, _, height, width = pixels.shape
    return Workload(images=(Images(count, height, width),), text_tokens=text, new_tokens=new_tokens)


def split(
    samples: Sequence[CalibrationSample], held_out: Sequence[CalibrationSample] | None
) -> tuple[list[CalibrationSample], list[CalibrationSample]]:
    """Samples to search on and samples to decide on; without `held_out` every third sample is held out.

    Raises:
        BadInput: there are no samples, or too few to hold some out.
    """
    if held_out is not None and samples and held_out:
        return list(samples), list(held_out)
    if len(samples) < 3:
        raise BadInput(f"{len(samples)} calibration samples are too few; give at least three, better a hundred")
    return [s for i, s in enumerate(samples) if i % 3 != 2], list(samples[2::3])


def _sample(source: Path, number: int, text: str, processor: Any) -> CalibrationSample:
    line = _parsed(source, number, text)
    picture = source.parent / line.image
    try:
        from PIL import Image

        image = Image.open(picture).convert("RGB")
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        raise BadInput.at(source, number, f"the picture {picture} cannot be read", "check the path") from error
    try:
        inputs = _processed(processor, line.prompt, images=image)
        return CalibrationSample(inputs, line.answer, f"{source}, line {number}")
    except (ValueError, TypeError, IndexError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise BadInput.at(source, number, f"the processor refuses this sample: {reason}") from error


def _parsed(source: Path, number: int, text: str) -> _Line:
    mend = 'write {"image": path, "prompt": text, "answer": optional text}'
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise BadInput.at(source, number, f"this is not JSON ({error.msg} at column {error.colno})", mend) from error
    if not isinstance(data, dict):
        raise BadInput.at(source, number, f"an object is expected, not {data!r:.60}", mend)
    for key in data:
        if key not in _Line.model_fields:
            raise BadInput.at(source, number, str(unknown("key", key, _Line.model_fields)))
    try:
        return _Line.model_validate(data)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        raise BadInput.at(source, number, f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}", mend) from error


def _processed(processor: Any, prompt: str, **media: Any) -> dict[str, torch.Tensor]:
    return dict(processor(text=prompt, return_tensors="pt", **media))


def _media(sample: Any) -> dict[str, Any]:
    return {"videos": sample.frames} if hasattr(sample, "frames") else {"images": sample.image}
