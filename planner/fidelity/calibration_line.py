"""One line of a calibration file: what stands in it, and the media that it names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ...common.errors import BadInput
from ...common.json_lines import parsed_line
from ...common.media import read_sound, sampling_rate

_MEND = 'write {"image": path, "prompt": text, "answer": optional text}, or {"audio": path, "answer": optional text}'


class CalibrationLine(BaseModel):
    """A picture, a sound or both, by paths; the prompt, which models that transcribe go without; the right answer."""

    model_config = ConfigDict(extra="forbid")

    image: str | None = Field(default=None, min_length=1)
    audio: str | None = Field(default=None, min_length=1)
    prompt: str | None = Field(default=None, min_length=1)
    answer: str | None = None


def parsed(source: Path, number: int, text: str) -> CalibrationLine:
    """Line `number` of the file `source`.

    Raises:
        BadInput: it is malformed; the sentence names the line.
    """
    line = parsed_line(CalibrationLine, text, source=source, number=number, mend=_MEND)
    if line.audio is None:
        for name in ("image", "prompt"):
            if getattr(line, name) is None:
                raise BadInput.at(source, number, f"{name}: Field required", _MEND)
    return line


def media(source: Path, number: int, line: CalibrationLine, processor: Any) -> dict[str, Any]:
    """What the processor is given beside the prompt: pictures RGB, sounds at the rate that it takes.

    Raises:
        BadInput: a file cannot be read, or a sound is longer than a model that transcribes hears at once.
    """
    given: dict[str, Any] = {}
    if line.image is not None:
        given["images"] = _picture(source, number, line.image)
    if line.audio is not None:
        rate = sampling_rate(processor)
        samples = _sound(source, number, line.audio, rate)
        window = getattr(getattr(processor, "feature_extractor", None), "chunk_length", None)
        if line.prompt is None and window is not None and len(samples) > window * rate:
            fault = f"the sound lasts {len(samples) / rate:.1f} s, and the model hears {window} s at once"
            raise BadInput.at(source, number, fault, "cut it into shorter sounds")
        given |= {"audio": samples, "sampling_rate": rate}
    return given


def _picture(source: Path, number: int, name: str) -> Any:
    from PIL import Image

    place = source.parent / name
    try:
        return Image.open(place).convert("RGB")
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        raise BadInput.at(source, number, f"the picture {place} cannot be read", "check the path") from error


def _sound(source: Path, number: int, name: str, rate: int) -> Any:
    try:
        return read_sound(source.parent / name, rate=rate).samples
    except (BadInput, OSError, ValueError) as error:
        raise BadInput.at(source, number, str(error).rstrip(".")) from error
