"""Calibration samples: what the model is asked when a plan's fidelity is measured."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...common.errors import BadInput
from ...common.files import read_text
from ...ir.families.sound import FRAMES_PER_SECOND
from ...ir.workload import Images, Video, Workload
from .calibration_line import FRAMES, media, parsed

if TYPE_CHECKING:
    import torch

TRANSCRIPT_TOKENS = 96
"""Tokens of what is said in half a minute, at which transcripts are cut where no workload says another number."""


@dataclass(frozen=True)
class CalibrationSample:
    """One request.

    Attributes:
        inputs: what the processor returns for it, a batch of one: `input_ids` and `attention_mask` (1, L), and media;
            an encoder-decoder's has media alone, and may have `decoder_input_ids` (1, P).
        answer: the right answer, where it is known.
        origin: the file and line that it was read from.
    """

    inputs: Mapping[str, torch.Tensor]
    answer: str | None = None
    origin: str = ""


def from_testbed(samples: Iterable[Any], processor: Any) -> list[CalibrationSample]:
    """Samples of a testbed (objects with `image` or `frames`, `prompt` and `answer`) through `processor`."""
    return [CalibrationSample(_processed(processor, s.prompt, **_media(s)), s.answer) for s in samples]


def read_jsonl(path: str | os.PathLike[str], processor: Any, *, frames: int = FRAMES) -> list[CalibrationSample]:
    """The samples of a JSON Lines file: `{"image": path, "prompt": text, "answer": optional text}` on each line.

    `image` may be a list of paths. A line may name a clip by `video`, and by `frames` how many of its frames are read,
    or a sound by `audio`, instead of a picture or beside it; models that transcribe take a sound without a prompt.
    Paths are relative to the file; prompts are complete, media tokens included. Empty lines are skipped.

    Args:
        frames: how many are read of a clip whose line does not say it, evenly spread, first and last included.

    Raises:
        BadInput: no such file, no sample in it, or a line that cannot be used; the sentence names the line.
    """
    source = Path(path)
    lines = read_text(source).split("\n")  # splitlines() would also cut at U+2028 and its like inside of strings
    samples = [_sample(source, i, text, processor, frames) for i, text in enumerate(lines, start=1) if text.strip()]
    if not samples:
        mend = 'write {"image": path, "prompt": text}, {"video": path, "prompt": text} or {"audio": path} lines'
        raise BadInput.at(source, None, "it holds no sample", mend)
    return samples


def workload_of(
    samples: Sequence[CalibrationSample], image_token: int | None, *, new_tokens: int, video_token: int | None = None
) -> Workload | None:
    """The workload that the samples make up: pictures and clips of the first one, the longest text; else None.

    Sounds without a prompt, which a model transcribes, make up the time that their spectrogram covers. None where the
    inputs do not show the sizes of the media (tiles, patches, padding), or their placeholder is not given.
    """
    inputs = samples[0].inputs
    spectrum = inputs.get("input_features")
    if spectrum is not None and "input_ids" not in inputs:
        seconds = spectrum.shape[-1] / FRAMES_PER_SECOND
        return Workload(audio_seconds=(seconds,), text_tokens=1, new_tokens=TRANSCRIPT_TOKENS)
    images = None if image_token is None else _images(inputs)
    videos = None if video_token is None else _videos(inputs)
    told = {"pixel_values": images, "pixel_values_videos": videos}
    carried = [media for name, media in told.items() if name in inputs]
    if not carried or None in carried or spectrum is not None:
        return None
    text = max(_text_tokens(sample, {image_token, video_token}) for sample in samples)
    return Workload(images=images or (), videos=videos or (), text_tokens=text, new_tokens=new_tokens)


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


def _images(inputs: Mapping[str, torch.Tensor]) -> tuple[Images, ...] | None:
    """The pictures in `pixel_values` (N, C, H, W); None where they are tiles or patches, or padded to one size."""
    pixels, sizes = inputs.get("pixel_values"), inputs.get("image_sizes")
    if pixels is None or pixels.dim() != 4:
        return None
    count, _, height, width = pixels.shape
    if sizes is not None and any(size != [height, width] for size in sizes.reshape(-1, 2).tolist()):
        return None
    return (Images(count, height, width),)


def _videos(inputs: Mapping[str, torch.Tensor]) -> tuple[Video, ...] | None:
    """The clips in `pixel_values_videos` (N, T, C, H, W); None where they are patches."""
    pixels = inputs.get("pixel_values_videos")
    if pixels is None or pixels.dim() != 5:
        return None
    count, frames, _, height, width = pixels.shape
    return (Video(frames, height, width),) * count


def _text_tokens(sample: CalibrationSample, placeholders: Collection[int | None]) -> int:
    return sum(token not in placeholders for token in sample.inputs["input_ids"].flatten().tolist())


def _sample(source: Path, number: int, text: str, processor: Any, frames: int) -> CalibrationSample:
    line = parsed(source, number, text)
    given = media(source, number, line, processor, frames=frames)
    try:
        inputs = _processed(processor, line.prompt, **given)
    except (BadInput, ValueError, TypeError, IndexError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise BadInput.at(source, number, f"the processor refuses this sample: {reason}") from error
    if "labels" in inputs:
        raise BadInput.at(source, number, "this model transcribes and takes no prompt", "leave `prompt` out")
    return CalibrationSample(inputs, line.answer, f"{source}, line {number}")


def _processed(processor: Any, prompt: str | None, **given: Any) -> dict[str, torch.Tensor]:
    text = {} if prompt is None else {"text": prompt}
    return dict(processor(return_tensors="pt", **text, **given))


def _media(sample: Any) -> dict[str, Any]:
    return {"videos": sample.frames} if hasattr(sample, "frames") else {"images": sample.image}
