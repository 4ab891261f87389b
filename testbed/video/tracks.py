"""Where a thing is at every frame of a clip: standing, moving straight, or shown several times."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..scenes import Box
from .vocabulary import MOTIONS

FRAMES: Final = 16
FRAMES_PER_STEP: Final = 2
STEPS: Final = FRAMES // FRAMES_PER_STEP
FRAME_SIZE: Final = 112
SLOWEST, FASTEST = 2.5, 6.0
SHORTEST_STAY: Final = 3
LATEST_START: Final = 5
DIRECTION: Final = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1), "still": (0, 0)}

Interval = tuple[int, int]


@dataclass(frozen=True)
class Track:
    """A square of ``size`` pixels over time.

    ``corners`` is (frames, 2) int64, left and top in pixels, inside the frame whether visible or not; ``shown`` is
    (frames,) bool; ``stays`` are the half-open intervals of time steps (pairs of frames) in which it is seen.
    """

    size: int
    motion: str
    corners: NDArray[np.int64]
    shown: NDArray[np.bool_]
    stays: tuple[Interval, ...]

    def box(self, step: int) -> Box | None:
        """Return the smallest box (left, top, right, bottom) that holds the square during a step, None when unseen."""
        if not self.shown[step * FRAMES_PER_STEP]:
            return None
        corners = self.corners[step * FRAMES_PER_STEP : (step + 1) * FRAMES_PER_STEP]
        (left, top), (right, bottom) = corners.min(0).tolist(), (corners.max(0) + self.size).tolist()
        return left, top, right, bottom


def touch(first: Track, second: Track) -> bool:
    """Say whether two tracks overlap in a frame that shows both."""
    apart = np.abs((first.corners - second.corners) * 2 + first.size - second.size) >= first.size + second.size
    return bool((~apart.any(1) & first.shown & second.shown).any())


def draw_track(rng: random.Random, start: int, size: int) -> Track:
    """Draw a track that first shows at step ``start``: three of ten flash 1 to 3 times, a sixth of the rest stand.

    A flash lasts one step and stands still; any other stay lasts at least three steps, half of them to the end.
    """
    if rng.random() < 0.3:
        later = range(start + 2, STEPS)
        chosen = _flashes(rng, start, rng.choice((1, 2, 2, 3, 3)), later)
        return _track(rng, size, "still", tuple((step, step + 1) for step in chosen))
    end = STEPS if rng.random() < 0.5 else rng.randint(start + SHORTEST_STAY, STEPS)
    motion = "still" if rng.random() < 1 / 6 else rng.choice(MOTIONS[:4])
    return _track(rng, size, motion, ((start, end),))


def draw_pair(rng: random.Random, middle: tuple[float, float], size: int) -> Track:
    """Draw a track of one step around ``middle``, moving or not: what crowded frames are made of."""
    motion, room = rng.choice(MOTIONS), FRAME_SIZE - size
    move = np.array(DIRECTION[motion]) * rng.uniform(SLOWEST, FASTEST)
    path = np.array(middle) - size / 2 + np.stack([-move / 2, move / 2])
    path += np.maximum(-path.min(0), 0) - np.maximum(path.max(0) - room, 0)
    corners = np.clip(np.rint(path), 0, room).astype(np.int64)
    return Track(size, motion, corners, np.ones(FRAMES_PER_STEP, np.bool_), ((0, 1),))


def _flashes(rng: random.Random, start: int, count: int, later: range) -> list[int]:
    """Return ``start`` and up to ``count - 1`` later steps, no two of them neighbours."""
    chosen = [start]
    for step in rng.sample(later, len(later)):
        if len(chosen) < count and all(abs(step - other) > 1 for other in chosen):
            chosen.append(step)
    return sorted(chosen)


def _track(rng: random.Random, size: int, motion: str, stays: tuple[Interval, ...]) -> Track:
    frames, room = np.arange(FRAMES), FRAME_SIZE - size
    shown = np.zeros(FRAMES, np.bool_)
    for start, end in stays:
        shown[start * FRAMES_PER_STEP : end * FRAMES_PER_STEP] = True
    first, last = stays[0][0] * FRAMES_PER_STEP, stays[-1][1] * FRAMES_PER_STEP - 1
    speed = rng.uniform(SLOWEST, min(FASTEST, room / (last - first)))
    since = np.clip(frames - first, 0, last - first)
    columns = []
    for side in DIRECTION[motion]:
        path = side * speed * since
        columns.append(rng.uniform(0, room - np.ptp(path)) - path.min() + path)
    corners = np.rint(np.stack(columns, 1)).astype(np.int64)
    return Track(size, motion, corners, shown, stays)
