"""What a model is fed from the command line: media with a prompt, or a stand-in for a workload."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..common.errors import BadInput
from ..common.media import Sound, frames_as_given, open_picture, read_clip, read_sound, resized, sampling_rate
from .models import TESTBED, TESTBED_VIDEO, Loaded

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from ..ir.workload import Workload

_FILLER = "what is in the picture"


@dataclass(frozen=True)
class Media:
    """The media of one request: RGB pictures, clips (T, H, W, 3) uint8, and sounds."""

    pictures: Sequence[Image] = ()
    clips: Sequence[NDArray[np.uint8]] = ()
    sounds: Sequence[Sound] = ()


def sound_rate(loaded: Loaded) -> int:
    """Samples a second that the model's processor takes."""
    return sampling_rate(loaded.processor)


def read_media(
    loaded: Loaded, *, image: Path | None, video: Path | None, audio: Path | None, frames: int = 16
) -> Media:
    """The media at the given paths as the model takes them: `frames` frames of a clip, a sound at its rate.

    Raises:
        BadInput: a file is missing or cannot be read, or a library that reads it is not installed.
    """
    clips = [] if video is None else [read_clip(video, frames=frames).frames]
    if loaded.name == TESTBED_VIDEO:
        from ..testbed.video.tracks import FRAME_SIZE

        clips = [resized(clip, FRAME_SIZE) for clip in clips]
    return Media(
        [] if image is None else [open_picture(image)],
        clips,
        [] if audio is None else [read_sound(audio, rate=sound_rate(loaded))],
    )


def request(loaded: Loaded, media: Media, question: str) -> dict[str, Any]:
    """Processor outputs of a question about media, on the model's device.

    Raises:
        BadInput: the processor cannot take them.
    """
    counts = {"images": len(media.pictures), "videos": len(media.clips), "sounds": len(media.sounds)}
    return processed_media(loaded, media, prompt_text(loaded, question, **counts))


def prompt_text(loaded: Loaded, question: str, *, images: int = 1, videos: int = 0, sounds: int = 0) -> str:
    """The complete prompt for the processor: by its chat template where it has one, else media, then the question."""
    processor = loaded.processor
    if loaded.embedded and images + videos == 1:
        return _testbed_prompt(loaded, question)
    counts = {"image": images, "video": videos, "audio": sounds}
    marks = {name: str(getattr(processor, f"{name}_token", f"<{name}>")) for name in counts}
    if any(marks[name] in question for name, count in counts.items() if count):
        return question
    if getattr(processor, "chat_template", None):
        content = [{"type": name} for name, count in counts.items() for _ in range(count)]
        messages = [{"role": "user", "content": [*content, {"type": "text", "text": question}]}]
        return str(processor.apply_chat_template(messages, add_generation_prompt=True))
    return " ".join([*(marks[name] for name, count in counts.items() for _ in range(count)), question])


def processed(loaded: Loaded, pictures: Sequence[Image], prompt: str, *, batch: int = 1) -> dict[str, Any]:
    """Processor outputs of one request about pictures, repeated over the batch, on the model's device.

    Raises:
        BadInput: the processor cannot take them.
    """
    return processed_media(loaded, Media(pictures=pictures), prompt, batch=batch)


def processed_media(loaded: Loaded, media: Media, prompt: str, *, batch: int = 1) -> dict[str, Any]:
    """Processor outputs of one request, repeated over the batch, on the model's device.

    A model that transcribes (an encoder-decoder that hears) takes the sound alone, without the prompt.

    Raises:
        BadInput: the processor cannot take them.
    """
    given: dict[str, Any] = {"images": media.pictures, "videos": media.clips}
    given = {name: list(items) * batch for name, items in given.items() if items}
    if media.clips and (options := frames_as_given(loaded.processor)):
        given["videos_kwargs"] = options
    if media.sounds:
        given["audio"] = [sound.samples for sound in media.sounds] * batch
        given["sampling_rate"] = media.sounds[0].rate
    if not (media.sounds and loaded.model.config.is_encoder_decoder):
        given |= {"text": [prompt] * batch, "padding": True}
    try:
        inputs = loaded.processor(return_tensors="pt", **given)
    except (ValueError, KeyError, TypeError, ImportError, BadInput) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        kinds = _kinds(media)
        raise BadInput(f"the processor of {loaded.name} cannot take this {kinds} and prompt: {reason}") from error
    return dict(inputs.to(loaded.model.device, dtype=loaded.model.dtype))


def workload_inputs(loaded: Loaded, workload: Workload, *, seed: int = 0) -> dict[str, Any]:
    """A stand-in for the workload: noise of its sizes, and a prompt of at least its text tokens.

    Timing depends on shapes alone, so noise serves; what would depend on content is the planner's business.

    Raises:
        BadInput: the workload has no media, or the processor cannot take them.
    """
    media = noise(workload, rate=sound_rate(loaded), seed=seed)
    if not any((media.pictures, media.clips, media.sounds)):
        raise BadInput(f"workload {workload} has no media; write image=, video= or audio= in it.")
    counts = {"images": len(media.pictures), "videos": len(media.clips), "sounds": len(media.sounds)}
    prompt = prompt_text(loaded, _FILLER, **counts)
    return _stretched(processed_media(loaded, media, prompt, batch=workload.batch), loaded, workload.text_tokens)


def noise(workload: Workload, *, rate: int, seed: int = 0) -> Media:
    """Random media of the workload's sizes, sounds at `rate` samples a second."""
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(seed)

    def pixels(*shape: int) -> NDArray[np.uint8]:
        return random.integers(0, 256, (*shape, 3), dtype=np.uint8)

    return Media(
        [Image.fromarray(pixels(i.height, i.width)) for i in workload.images for _ in range(i.count)],
        [pixels(v.frames, v.height, v.width) for v in workload.videos],
        [
            Sound(random.uniform(-1, 1, round(seconds * rate)).astype(np.float32), rate)
            for seconds in workload.audio_seconds
        ],
    )


def _testbed_prompt(loaded: Loaded, question: str) -> str:
    if loaded.name == TESTBED:
        from ..testbed.sampling import prompt_text as of_picture

        return of_picture(question)
    from ..testbed.video.sampling import prompt_text as of_clip

    return of_clip(question)


def _kinds(media: Media) -> str:
    named = {"picture": media.pictures, "clip": media.clips, "sound": media.sounds}
    return " and ".join(name for name, items in named.items() if items)


def _stretched(inputs: dict[str, Any], loaded: Loaded, text_tokens: int) -> dict[str, Any]:
    """Repeat the last token until the prompt has `text_tokens` tokens that stand for no media."""
    import torch

    if "input_ids" not in inputs:
        return inputs
    ids, config = inputs["input_ids"], loaded.model.config
    marks = [getattr(config, f"{name}_token_id", None) for name in ("image", "video", "audio")]
    held = torch.isin(ids[0], torch.tensor([mark for mark in marks if isinstance(mark, int)], device=ids.device))
    missing = text_tokens - int((~held).sum())
    if missing <= 0:
        return inputs
    longer = {"input_ids": torch.cat([ids, ids[:, -1:].expand(-1, missing)], dim=1)}
    for name in ("attention_mask", "token_type_ids", "mm_token_type_ids"):
        if name in inputs:
            longer[name] = torch.cat([inputs[name], inputs[name][:, -1:].expand(-1, missing)], dim=1)
    return inputs | longer
