"""Recorded prompts with their transcripts, packed into windows of speech."""

from __future__ import annotations

import gzip
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .packages import unpacked
from .wer import words

RATE = 16_000
PAUSE = 0.4
"""Seconds of silence between two prompts."""

_FEWEST_WORDS = 5


@dataclass(frozen=True)
class Speech:
    """What is said, (samples,) float32 at RATE, and the recordings that it was joined of, if it was."""

    text: str
    samples: NDArray[np.float32]
    pieces: tuple[Speech, ...] = ()

    @property
    def seconds(self) -> float:
        """Its length."""
        return len(self.samples) / RATE


def prompts(*, folder: Path | None = None) -> list[Speech]:
    """Every recorded prompt of five words or more whose transcript is what is said, in order of its name.

    Raises:
        BadInput: a package cannot be had.
    """
    texts = next(unpacked("asterisk-core-sounds-en", folder=folder).rglob("core-sounds-en.txt.gz"))
    sounds = unpacked("asterisk-core-sounds-en-wav", folder=folder)
    recorded = {str(path.relative_to(path.parents[_depth(path)])): path for path in sounds.rglob("*.wav")}
    found = []
    for line in gzip.decompress(texts.read_bytes()).decode().splitlines():
        name, _, text = line.partition(":")
        path = recorded.get(f"{name.strip()}.wav")
        if path is not None and "[" not in text and len(words(text)) >= _FEWEST_WORDS:
            found.append(Speech(text.strip(), _read(path)))
    return found


def windows(
    spoken: Sequence[Speech], *, shortest: float = 25.0, longest: float = 30.0, shuffled: int | None = None
) -> list[Speech]:
    """Speech joined with pauses into windows of `shortest` to `longest` seconds, every piece used at most once.

    Each piece goes into the first window that has room, the longest first, or in an order drawn with the seed
    `shuffled`; windows that stay shorter are left out.
    """
    groups: list[list[Speech]] = []
    pieces = sorted(spoken, key=lambda item: (-item.seconds, item.text))
    order = range(len(pieces)) if shuffled is None else np.random.default_rng(shuffled).permutation(len(pieces))
    for piece in (pieces[number] for number in order):
        fits = (group for group in groups if _length([*group, piece]) <= longest)
        group = next(fits, None)
        if group is None:
            groups.append([piece])
        else:
            group.append(piece)
    joined = [_joined(group) for group in groups]
    return [window for window in joined if shortest <= window.seconds <= longest]


def _length(group: Sequence[Speech]) -> float:
    return sum(piece.seconds for piece in group) + PAUSE * (len(group) - 1)


def _joined(group: Sequence[Speech]) -> Speech:
    silence = np.zeros(int(PAUSE * RATE), np.float32)
    parts = [part for piece in group for part in (silence, piece.samples)][1:]
    return Speech(" ".join(piece.text for piece in group), np.concatenate(parts), tuple(group))


def _depth(path: Path) -> int:
    """How many folders below the voice's own a recording lies."""
    return next(number for number, parent in enumerate(path.parents) if parent.parent.name == "sounds")


def _read(path: Path) -> NDArray[np.float32]:
    """A 16-bit mono recording at RATE; 8 kHz is resampled by band-limited interpolation."""
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        values = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float64) / 32768
        return resampled(values, file.getframerate())


def resampled(values: NDArray[np.float64], rate: int) -> NDArray[np.float32]:
    """Samples at `rate`, brought to RATE by zero-padding their spectrum.

    Example:
        >>> tone = np.sin(2 * np.pi * 500 * np.arange(8000) / 8000)
        >>> bool(abs(resampled(tone, 8000) - np.sin(2 * np.pi * 500 * np.arange(16000) / 16000)).max() < 1e-5)
        True
    """
    wanted = round(len(values) * RATE / rate)
    return (np.fft.irfft(np.fft.rfft(values), wanted) * wanted / len(values)).astype(np.float32)
