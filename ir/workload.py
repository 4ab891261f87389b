"""Workloads: what one request carries, in the short text form of plans and the command line."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import Literal, get_args

from ..common.errors import BadInput
from ..common.names import unknown
from .decimals import decimal

Task = Literal["general", "grounding", "ocr"]
TASKS: tuple[Task, ...] = get_args(Task)
"""What the requests ask: `grounding` and `ocr` answer with exact places and characters, which merging blurs."""

_SIZE = re.compile(r"(\d+)x(\d+)x(\d+)")
_SECONDS = re.compile(r"(\d+(?:\.\d+)?)s")
_INTEGERS = {
    "text": "text_tokens",
    "new": "new_tokens",
    "batch": "batch",
    "turns": "turns",
    "concurrency": "concurrency",
}


@dataclass(frozen=True)
class Images:
    """`count` still pictures of height x width pixels in one request."""

    count: int
    height: int
    width: int


@dataclass(frozen=True)
class Video:
    """One clip of `frames` frames of height x width pixels."""

    frames: int
    height: int
    width: int


@dataclass(frozen=True)
class Workload:
    """One request: its media, its text tokens, its answer, and how requests arrive.

    Example:
        >>> workload = Workload.parse("image=2x672x448,text=64,new=128")
        >>> workload.images
        (Images(count=2, height=672, width=448),)
        >>> str(workload)
        'image=2x672x448,text=64,new=128'
    """

    images: tuple[Images, ...] = ()
    videos: tuple[Video, ...] = ()
    audio_seconds: tuple[float, ...] = ()
    text_tokens: int = 32
    new_tokens: int = 16
    batch: int = 1
    turns: int = 1
    concurrency: int = 1
    task: Task = "general"

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise unknown("workload task", self.task, TASKS)
        for name in _INTEGERS.values():
            value = getattr(self, name)
            if value < (0 if name in ("text_tokens", "new_tokens") else 1):
                raise BadInput(f"workload: {name} is {value}; it must be positive")
        for seconds in self.audio_seconds:
            if not 0 < seconds < math.inf:
                raise BadInput(f"workload: audio lasts {seconds:g} s; it must be longer than zero")

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities that this workload carries, in the order image, video, audio."""
        present = {"image": self.images, "video": self.videos, "audio": self.audio_seconds}
        return tuple(name for name, media in present.items() if media)

    def alone(self, modality: str) -> tuple[Workload, ...]:
        """Requests with the media of one modality alone, one for each size that the text form names, in order.

        >>> [str(one) for one in Workload.parse("image=1x336x336,image=2x672x448,video=8x64x64,new=1").alone("image")]
        ['image=1x336x336,text=32,new=1', 'image=2x672x448,text=32,new=1']
        """
        bare = replace(self, images=(), videos=(), audio_seconds=())
        if modality == "image":
            return tuple(replace(bare, images=(item,)) for item in self.images)
        if modality == "video":
            return tuple(replace(bare, videos=(item,)) for item in self.videos)
        return tuple(replace(bare, audio_seconds=(item,)) for item in self.audio_seconds)

    @classmethod
    def parse(cls, text: str) -> Workload:
        """A workload from `key=value` parts joined by commas.

        Raises:
            BadInput: a part is malformed; the sentence names the part and the form that it must have.
        """
        workload = cls()
        for part in filter(None, (piece.strip() for piece in text.split(","))):
            key, equals, value = part.partition("=")
            if not equals:
                raise BadInput(f"workload part {part!r} has no value; write key=value, as in image=1x336x336")
            workload = workload._with(key, value)
        return workload

    def _with(self, key: str, value: str) -> Workload:
        if key == "image":
            return replace(self, images=(*self.images, Images(*_sizes(key, value))))
        if key == "video":
            return replace(self, videos=(*self.videos, Video(*_sizes(key, value))))
        if key == "audio":
            match = _SECONDS.fullmatch(value)
            if not match:
                raise BadInput(f"workload audio={value!r} is no duration; write seconds, as in audio=30s")
            return replace(self, audio_seconds=(*self.audio_seconds, float(match.group(1))))
        if key == "task":
            return replace(self, task=value)  # type: ignore[arg-type]  # checked when it is made
        if key not in _INTEGERS:
            raise unknown("workload key", key, ["image", "video", "audio", "task", *_INTEGERS])
        if not value.isdecimal():
            raise BadInput(f"workload {key}={value!r} is no whole number; write it as in {key}=1")
        return replace(self, **{_INTEGERS[key]: int(value)})  # type: ignore[arg-type]

    def __str__(self) -> str:
        parts = [f"image={i.count}x{i.height}x{i.width}" for i in self.images]
        parts += [f"video={v.frames}x{v.height}x{v.width}" for v in self.videos]
        parts += [f"audio={decimal(seconds)}s" for seconds in self.audio_seconds]
        parts += [f"text={self.text_tokens}", f"new={self.new_tokens}"]
        parts += [f"{key}={getattr(self, key)}" for key in ("batch", "turns", "concurrency") if getattr(self, key) != 1]
        parts += [] if self.task == "general" else [f"task={self.task}"]
        return ",".join(parts)


def _sizes(key: str, value: str) -> tuple[int, int, int]:
    match = _SIZE.fullmatch(value)
    if not match or min(map(int, match.groups())) < 1:
        counted = "frames" if key == "video" else "count"
        raise BadInput(f"workload {key}={value!r} is no size; write {counted} x height x width, as in {key}=1x336x336")
    first, height, width = map(int, match.groups())
    return first, height, width
