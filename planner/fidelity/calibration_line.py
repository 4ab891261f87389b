"""One line of a calibration file: what stands in it, and the media that it names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ...common.errors import BadInput
from ...common.json_lines import parsed_line
from ...common.media import Clip, frames_as_given, read_clip, read_sound, sampling_rate, takes_of_clips

if TYPE_CHECKING:
    from transformers.video_utils import VideoMetadata

FRAMES = 16
"""Frames that are read of a clip where nothing says how many."""

_MEND = (
    'write {"image": path or list of paths, "prompt": text, "answer": optional text}, '
    '{"video": path, "frames": optional number, "prompt": text, "answer": optional text}, '
    'or {"audio": path, "answer": optional text}'
)

_Name = Annotated[str, Field(min_length=1)]


class CalibrationLine(BaseModel):
    """Pictures, a clip, a sound, by paths; the prompt, which models that transcribe go without; the right answer."""

    model_config = ConfigDict(extra="forbid")

    image: list[_Name] | None = Field(default=None, min_length=1)
    video: _Name | None = None
    frames: int | None = Field(default=None, ge=1, strict=True)
    audio: _Name | None = None
    prompt: _Name | None = None
    answer: str | None = None

    @field_validator("image", mode="before")
    @classmethod
    def _listed(cls, given: object) -> object:
        return [given] if isinstance(given, str) else given


def parsed(source: Path, number: int, text: str) -> CalibrationLine:
    """Line `number` of the file `source`.

    Raises:
        BadInput: it is malformed; the sentence names the line.
    """
    line = parsed_line(CalibrationLine, text, source=source, number=number, mend=_MEND)
    fault = _fault(line)
    if fault is not None:
        raise BadInput.at(source, number, fault, _MEND)
    return line


def media(source: Path, number: int, line: CalibrationLine, processor: Any, *, frames: int = FRAMES) -> dict[str, Any]:
    """What the processor is given beside the prompt: pictures and frames RGB, sounds at the rate that it takes.

    Args:
        frames: of a clip whose line does not say how many.

    Raises:
        BadInput: a file cannot be read, a clip has fewer frames than are asked for, or a sound is longer than a model
            that transcribes hears at once; the sentence names the line.
    """
    given: dict[str, Any] = {}
    if line.image is not None:
        pictures = [_picture(source, number, name) for name in line.image]
        given["images"] = pictures[0] if len(pictures) == 1 else pictures
    if line.video is not None:
        clip = _clip(source, number, line.video, line.frames or frames)
        given |= {"videos": clip.frames, **_unsampled(clip, processor)}
    if line.audio is not None:
        given |= _heard(source, number, line, processor)
    return given


def _fault(line: CalibrationLine) -> str | None:
    """What is missing on a line whose fields are right, each by itself."""
    if line.image is None and line.video is None and line.audio is None:
        return "image, video or audio: one of them is required"
    if line.prompt is None and line.audio is None:
        return "prompt: Field required"
    if line.frames is not None and line.video is None:
        return "frames: it counts the frames of a video, and the line names none"
    return None


def _picture(source: Path, number: int, name: str) -> Any:
    from PIL import Image

    place = source.parent / name
    try:
        return Image.open(place).convert("RGB")
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        raise BadInput.at(source, number, f"the picture {place} cannot be read", "check the path") from error


def _clip(source: Path, number: int, name: str, frames: int) -> Clip:
    place = source.parent / name
    try:
        clip = read_clip(place, frames=frames)
    except (BadInput, OSError, ValueError) as error:
        raise BadInput.at(source, number, str(error).rstrip(".")) from error
    if clip.total < frames:
        fault = f"the clip {place} has {clip.total} frames, and {frames} are asked for"
        raise BadInput.at(source, number, fault, f'write "frames": {clip.total} or less, or give a longer clip')
    return clip


def _unsampled(clip: Clip, processor: Any) -> dict[str, Any]:
    """Options by which a processor takes the frames as they are: none left out again, and their times known to it."""
    options = frames_as_given(processor)
    if takes_of_clips(processor, "video_metadata"):
        options["video_metadata"] = _metadata(clip)
    return {"videos_kwargs": options} if options else {}


def _metadata(clip: Clip) -> VideoMetadata:
    """Which frames of what these are: processors that write times into prompts else take them for 24 a second."""
    from transformers.video_utils import VideoMetadata

    _, height, width, _ = clip.frames.shape
    return VideoMetadata(
        total_num_frames=clip.total,
        fps=clip.rate,
        width=width,
        height=height,
        duration=clip.duration,
        frames_indices=clip.numbers.tolist(),
    )


def _heard(source: Path, number: int, line: CalibrationLine, processor: Any) -> dict[str, Any]:
    rate = sampling_rate(processor)
    samples = _sound(source, number, str(line.audio), rate)
    window = getattr(getattr(processor, "feature_extractor", None), "chunk_length", None)
    if line.prompt is None and window is not None and len(samples) > window * rate:
        fault = f"the sound lasts {len(samples) / rate:.1f} s, and the model hears {window} s at once"
        raise BadInput.at(source, number, fault, "cut it into shorter sounds")
    return {"audio": samples, "sampling_rate": rate}


def _sound(source: Path, number: int, name: str, rate: int) -> Any:
    try:
        return read_sound(source.parent / name, rate=rate).samples
    except (BadInput, OSError, ValueError) as error:
        raise BadInput.at(source, number, str(error).rstrip(".")) from error
