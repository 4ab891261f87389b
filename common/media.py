"""Pictures, clips and sounds read from files: Pillow, PyAV and soundfile, each loaded when a file asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import BadInput

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image


_USUAL_RATE = 16_000
"""What speech encoders take where their processor does not say."""


@dataclass(frozen=True)
class Clip:
    """Some frames of a clip.

    Attributes:
        frames: (T, H, W, 3) uint8. seconds: (T,) when each is shown. duration: of the whole clip, in seconds.
        numbers: (T,) their places among all frames of the clip, from 0. total: how many it has.
    """

    frames: NDArray[np.uint8]
    seconds: NDArray[np.float64]
    duration: float
    numbers: NDArray[np.int64]
    total: int

    @property
    def rate(self) -> float | None:
        """Frames a second of the whole clip; None where the file does not tell."""
        lasts = float(self.seconds[-1] - self.seconds[0])
        if lasts > 0:
            return float(self.numbers[-1] - self.numbers[0]) / lasts
        return self.total / self.duration if self.duration > 0 else None


@dataclass(frozen=True)
class Sound:
    """One channel of sound: `samples` (N,) float32 in [-1, 1], `rate` samples a second."""

    samples: NDArray[np.float32]
    rate: int

    @property
    def duration(self) -> float:
        """Its length in seconds."""
        return len(self.samples) / self.rate


def sampling_rate(processor: Any) -> int:
    """Samples a second that a model's processor takes."""
    return int(getattr(getattr(processor, "feature_extractor", None), "sampling_rate", _USUAL_RATE))


def require_file(path: Path | None, kind: str) -> None:
    """Refuse a path that is given and leads nowhere.

    Raises:
        BadInput: there is no such file.
    """
    if path is not None and not path.is_file():
        raise BadInput(f"there is no {kind} at {path}; check the path.")


def open_picture(path: Path) -> Image:
    """The picture at `path`, RGB.

    Raises:
        BadInput: there is no such file, or it is no picture that Pillow reads.
    """
    from PIL import Image, UnidentifiedImageError

    require_file(path, "picture")
    try:
        with Image.open(path) as picture:
            return picture.convert("RGB")
    except (UnidentifiedImageError, OSError) as error:
        raise BadInput(f"{path} is not a picture that can be read; give a PNG or JPEG file.") from error


def read_clip(path: Path, *, frames: int = 16) -> Clip:
    """`frames` frames spread evenly over the clip at `path`, first and last included; all of them where it has fewer.

    The clip is decoded twice, once to count its frames: containers may miscount them. No more than the chosen frames
    are held at once.

    Raises:
        BadInput: no such file, no clip that PyAV reads, fewer than one frame asked for, or PyAV is not installed.
    """
    import numpy as np

    av = _library("av", "PyAV", "clips")
    require_file(path, "clip")
    if frames < 1:
        raise BadInput(f"{frames} frames cannot be read from a clip; ask for one or more.")
    with _readable(path, "clip", "an MP4 or WebM file", av.error.FFmpegError, IndexError):
        total = sum(1 for _ in _decoded(av, path))
        numbers = spread(total, frames)
        chosen = set(numbers.tolist())
        kept = [frame for number, frame in enumerate(_decoded(av, path)) if number in chosen]
        duration = _duration(av, path)
    if not kept:
        raise BadInput(f"{path} holds no frame; give a clip with pictures in it.")
    seconds = np.array([frame.time or 0.0 for frame in kept])
    pixels = np.stack([frame.to_ndarray(format="rgb24") for frame in kept])
    return Clip(pixels, seconds, max(duration, float(seconds[-1])), numbers, total)


def takes_of_clips(processor: Any, option: str) -> bool:
    """Whether a processor takes `option` beside clips."""
    valid = getattr(getattr(processor, "video_processor", None), "valid_kwargs", None)
    return option in getattr(valid, "__annotations__", {})


def frames_as_given(processor: Any) -> dict[str, Any]:
    """Options beside clips by which a processor leaves no frame out, as some do that expect whole clips."""
    return {"do_sample_frames": False} if takes_of_clips(processor, "do_sample_frames") else {}


def read_sound(path: Path, *, rate: int = _USUAL_RATE) -> Sound:
    """The sound at `path`, its channels averaged, at `rate` samples a second.

    Raises:
        BadInput: no such file, no sound that soundfile reads, or a library that is not installed.
    """
    soundfile = _library("soundfile", "soundfile", "sounds")
    require_file(path, "sound")
    with _readable(path, "sound", "a WAV, FLAC, OGG or MP3 file", soundfile.SoundFileError):
        channels, given = soundfile.read(path, dtype="float32", always_2d=True)
    if not len(channels):
        raise BadInput(f"{path} holds no samples; give a sound that lasts.")
    return Sound(resampled(channels.mean(axis=1), int(given), rate), rate)


def resampled(samples: NDArray[np.float32], given: int, wanted: int) -> NDArray[np.float32]:
    """(N,) samples at `given` a second as samples at `wanted` a second, by FFmpeg's band-limited resampler.

    Raises:
        BadInput: PyAV is not installed.
    """
    import numpy as np

    if given == wanted:
        return samples
    av = _library("av", "PyAV", f"sounds at {given} Hz, which are resampled to {wanted} Hz,")
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None]), format="flt", layout="mono")
    frame.sample_rate = given
    resampler = av.AudioResampler(format="flt", layout="mono", rate=wanted)
    pieces = [*resampler.resample(frame), *resampler.resample(None)]
    found: NDArray[np.float32] = np.concatenate([piece.to_ndarray()[0] for piece in pieces])
    return found


def resized(frames: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """(T, H, W, 3) frames as squares of `side` pixels, antialiased."""
    import numpy as np
    from PIL import Image

    if frames.shape[1:3] == (side, side):
        return frames
    return np.stack([np.asarray(Image.fromarray(frame).resize((side, side))) for frame in frames])


def spread(total: int, count: int) -> NDArray[np.int64]:
    """At most `count` of `total` places, evenly spread, first and last included; of one place the middle.

    Example:
        >>> spread(9, 3).tolist(), spread(2, 5).tolist(), spread(9, 1).tolist()
        ([0, 4, 8], [0, 1], [4])
    """
    import numpy as np

    if count >= total:
        return np.arange(total)
    if count == 1:
        return np.array([total // 2])
    return np.linspace(0, total - 1, count).round().astype(np.int64)


def _decoded(av: Any, path: Path) -> Iterator[Any]:
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        yield from container.decode(video=0)


def _duration(av: Any, path: Path) -> float:
    with av.open(str(path)) as container:
        return float((container.duration or 0) / av.time_base)


def _library(name: str, title: str, what: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise BadInput(f"reading {what} needs {title}; install it with: pip install 'foveate[media]'.") from error


@contextmanager
def _readable(path: Path, kind: str, give: str, *errors: type[Exception]) -> Iterator[None]:
    """Turn a library's errors into one sentence."""
    try:
        yield
    except errors as error:
        raise BadInput(f"{path} is not a {kind} that can be read; give {give}.") from error
