"""Clips composed on the fly: things that stand or move on a static background, with dense labels for each token.

A clip is a pure function of its split and seed. Splits never share a seed, a photograph or a generated texture;
``heldout-art`` also draws its things from an emoji set that no training clip shows.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...common.errors import BadInput
from .. import art
from ..scenes import SEEDS_PER_SPLIT, SPLITS
from ..vocabulary import COLOUR_NAMES, SHAPES
from .tracks import (
    FRAME_SIZE,
    FRAMES,
    FRAMES_PER_STEP,
    LATEST_START,
    Track,
    draw_pair,
    draw_track,
    touch,
)
from .vocabulary import MOTIONS, THINGS, TOKEN_CLASSES

PATCH_SIZE: Final = 8
MERGE: Final = 2
TOKEN_SIZE: Final = PATCH_SIZE * MERGE
GRID: Final = FRAME_SIZE // TOKEN_SIZE
SMALLEST, LARGEST = 26, 36
TRIES: Final = 30

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Thing:
    """One thing of a clip: its word, where it is when, and its picture's colour where it is a shape."""

    name: str
    track: Track
    colour: str | None = None


@dataclass(frozen=True)
class Clip:
    """Frames and everything that is true of them.

    ``frames`` is (T, 112, 112, 3) uint8, T = 16 (2 in a crowded one). ``classes`` and ``motions`` are (T / 2, 7, 7)
    int64: the index into ``TOKEN_CLASSES`` of what fills each 16 px square during each pair of frames, and 1 + the
    index into ``MOTIONS`` of how that moves, 0 on background. ``owners`` is 1 + the index of the thing, 0 elsewhere.
    """

    frames: NDArray[np.uint8]
    things: tuple[Thing, ...]
    classes: Labels
    motions: Labels
    owners: Labels
    split: str
    seed: int


def make_clip(seed: int, *, split: str = "train") -> Clip:
    """Compose clip ``seed`` of ``split``: 16 frames with 1 to 3 things of different names, none hiding another.

    No two things come in the same step. Raises ``BadInput`` for an unknown split or a seed outside [0, 1e9).

    >>> clip = make_clip(7)
    >>> clip.frames.shape, clip.classes.shape, 1 <= len(clip.things) <= 3
    ((16, 112, 112, 3), (8, 7, 7), True)
    """
    rng = _generator(seed, split)
    background = art.background(rng, split, FRAME_SIZE)
    count = rng.choice((1, 2, 2, 3, 3))
    starts = rng.sample(range(LATEST_START + 1), count)
    if 0 not in starts and rng.random() < 0.4:
        starts[0] = 0
    things: list[Thing] = []
    for name, start in zip(rng.sample(THINGS, count), starts, strict=True):
        for _ in range(TRIES):
            track = draw_track(rng, start, rng.randint(SMALLEST, LARGEST))
            if not any(touch(track, other.track) for other in things):
                things.append(Thing(name, track, _colour(rng, name)))
                break
    return _compose(rng, background, tuple(things), FRAMES, split, seed)


def make_crowded(seed: int, *, split: str = "train") -> Clip:
    """Compose one step (two frames) with nine things, moving or not: what the vision tower learns from quickest.

    The tower's attention never leaves a pair of frames, so nothing is lost on it.
    """
    rng = _generator(seed, split)
    background = art.background(rng, split, FRAME_SIZE)
    cell, things = FRAME_SIZE / 3, []
    for index in range(9):
        middle = (
            (index % 3 + 0.5) * cell + rng.uniform(-8, 8),
            (index // 3 + 0.5) * cell + rng.uniform(-8, 8),
        )
        name = rng.choice(THINGS)
        things.append(Thing(name, draw_pair(rng, middle, rng.randint(SMALLEST, LARGEST)), _colour(rng, name)))
    kept = tuple(rng.sample(things, rng.randint(4, 9)))
    return _compose(rng, background, kept, FRAMES_PER_STEP, split, seed)


def token_cover(track: Track) -> NDArray[np.float64]:
    """Return the share of each token that a track's square covers, (T / 2, 7, 7), averaged over the two frames."""
    edges = np.arange(GRID) * TOKEN_SIZE
    near, far = track.corners[..., None] + 2, track.corners[..., None] + track.size - 2
    inside = np.clip(np.minimum(edges + TOKEN_SIZE, far) - np.maximum(edges, near), 0, None)
    cover = inside[:, 1, :, None] * inside[:, 0, None, :] * track.shown[:, None, None] / TOKEN_SIZE**2
    mean: NDArray[np.float64] = cover.reshape(-1, FRAMES_PER_STEP, GRID, GRID).mean(1)
    return mean


def _generator(seed: int, split: str) -> random.Random:
    if split not in SPLITS:
        raise BadInput(f"unknown split {split!r} of the testbed: choose one of {', '.join(SPLITS)}")
    if not 0 <= seed < SEEDS_PER_SPLIT:
        raise BadInput(f"clip seed {seed} is outside [0, {SEEDS_PER_SPLIT}): choose a smaller one")
    return random.Random(SPLITS.index(split) * SEEDS_PER_SPLIT + seed)


def _colour(rng: random.Random, name: str) -> str | None:
    return rng.choice(COLOUR_NAMES) if name in SHAPES else None


def _picture(rng: random.Random, thing: Thing, split: str) -> Image.Image:
    size = thing.track.size
    if thing.colour is not None:
        return art.shape(thing.name, thing.colour, size)
    picture = art.sprite(thing.name, size, atlas=art.atlas_name(split))
    if rng.random() < 0.5:
        picture = picture.rotate(rng.uniform(-15, 15), Image.Resampling.BICUBIC)
    return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.3 else picture


def _compose(
    rng: random.Random, background: Image.Image, things: tuple[Thing, ...], count: int, split: str, seed: int
) -> Clip:
    pictures, frames = [_picture(rng, thing, split) for thing in things], []
    for index in range(count):
        frame = background.copy()
        for thing, picture in zip(things, pictures, strict=True):
            if thing.track.shown[index]:
                left, top = thing.track.corners[index].tolist()
                frame.paste(picture, (left, top), picture)
        frames.append(np.asarray(frame))
    cover = np.stack([np.full((count // FRAMES_PER_STEP, GRID, GRID), 0.35), *(token_cover(t.track) for t in things)])
    owners = cover.argmax(0)
    names = np.array([0, *(TOKEN_CLASSES.index(thing.name) for thing in things)])
    moves = np.array([0, *(1 + MOTIONS.index(thing.track.motion) for thing in things)])
    return Clip(np.stack(frames), things, names[owners], moves[owners], owners, split, seed)
