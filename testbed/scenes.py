"""Scenes composed on the fly: small objects and printed numbers on photographs and textures, with dense labels.

A scene is a pure function of its split and seed. Splits never share a seed, a photograph or a generated texture;
``heldout-art`` also draws its objects and digits from art that no training scene shows.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..common.errors import BadInput
from . import art
from .vocabulary import COLOUR_NAMES, COLOURS, DIGITS, EMOJI, PATCH_CLASS_ID, REGIONS, SHAPES

IMAGE_SIZE: Final = 224
PATCH_SIZE: Final = 14
GRID: Final = IMAGE_SIZE // PATCH_SIZE
SPLITS: Final = ("train", "calibration", "heldout", "heldout-art")
SEEDS_PER_SPLIT: Final = 1_000_000_000
CELL: Final = IMAGE_SIZE / 3

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class SceneObject:
    """One object: its word, the ninth of the image that holds it, its box (left, top, right, bottom) in pixels."""

    name: str
    region: str
    box: Box
    colour: str | None = None


@dataclass(frozen=True)
class Sign:
    """A coloured plate with a printed number; ``digit_boxes`` are in reading order."""

    number: str
    colour: str
    region: str
    box: Box
    digit_boxes: tuple[Box, ...]


@dataclass(frozen=True)
class Scene:
    """A picture and everything that is true of it; only crowded scenes hold more than one sign.

    ``patch_labels`` and ``patch_colours`` are (16, 16) int16: the index into ``PATCH_CLASSES`` of what fills each
    14 px patch, and 1 + the index into ``COLOUR_NAMES`` on shapes and signs, 0 elsewhere. ``centres`` is (16, 16)
    bool: the patch that holds the middle of each object and digit.
    """

    image: Image.Image
    objects: tuple[SceneObject, ...]
    signs: tuple[Sign, ...]
    patch_labels: NDArray[np.int16]
    patch_colours: NDArray[np.int16]
    centres: NDArray[np.bool_]
    split: str
    seed: int

    @property
    def sign(self) -> Sign | None:
        """The sign, where the scene has one."""
        return self.signs[0] if self.signs else None


class _Labels:
    """Patch labels under construction: the box that covers most of a patch names it."""

    def __init__(self) -> None:
        self.classes = np.zeros((GRID, GRID), np.int16)
        self.colours = np.zeros((GRID, GRID), np.int16)
        self.centres = np.zeros((GRID, GRID), np.bool_)
        self._cover = np.zeros((GRID, GRID))

    def mark(self, box: Box, name: str, colour: str | None, *, threshold: float = 0.35) -> None:
        """Label the patches that ``box`` covers by more than ``threshold`` and more than any box before it."""
        edges = np.arange(GRID) * PATCH_SIZE
        across = np.clip(np.minimum(edges + PATCH_SIZE, box[2]) - np.maximum(edges, box[0]), 0, None)
        down = np.clip(np.minimum(edges + PATCH_SIZE, box[3]) - np.maximum(edges, box[1]), 0, None)
        cover = down[:, None] * across[None, :] / PATCH_SIZE**2
        ours = (cover > threshold) & (cover > self._cover)
        self.classes[ours] = PATCH_CLASS_ID[name]
        self.colours[ours] = 0 if colour is None else 1 + COLOUR_NAMES.index(colour)
        self._cover[ours] = cover[ours]

    def centre(self, box: Box) -> None:
        """Flag the patch that holds the middle of ``box``."""
        self.centres[(box[1] + box[3]) // 2 // PATCH_SIZE, (box[0] + box[2]) // 2 // PATCH_SIZE] = True

    def cover_again(self) -> None:
        """Let later boxes win over earlier ones (digits over the plate they are printed on)."""
        self._cover[:] = 0


def make_scene(seed: int, *, split: str = "train", crowded: bool = False) -> Scene:
    """Compose scene ``seed`` of ``split``: 224 x 224 RGB, 1 to 6 objects, a sign in half of the scenes.

    A ``crowded`` scene fills all nine cells, 2 to 4 of them with signs: no questions are asked about it, but the
    vision tower learns from it several times faster, since hardly any patch is bare background.

    Raises ``BadInput`` for an unknown split or a seed outside [0, 1e9).

    >>> scene = make_scene(7)
    >>> scene.image.size, scene.patch_labels.shape, 1 <= len(scene.objects) <= 6
    ((224, 224), (16, 16), True)
    """
    if split not in SPLITS:
        raise BadInput(f"unknown split {split!r} of the testbed: choose one of {', '.join(SPLITS)}")
    if not 0 <= seed < SEEDS_PER_SPLIT:
        raise BadInput(f"scene seed {seed} is outside [0, {SEEDS_PER_SPLIT}): choose a smaller one")
    rng = random.Random(SPLITS.index(split) * SEEDS_PER_SPLIT + seed)
    image, labels, cells = art.background(rng, split, IMAGE_SIZE), _Labels(), list(range(9))
    rng.shuffle(cells)
    for _ in range(rng.randint(0, 3)):
        _paste_distractor(image, rng)
    names, signs = _choose_names(rng), int(rng.random() < 0.5)
    if crowded:
        signs = rng.randint(2, 4)
        names = [_choose_name(rng) for _ in range(len(cells) - signs)]
    objects = tuple(_paste_object(image, labels, rng, name, cells.pop(), split) for name in names)
    plates = tuple(_paste_sign(image, labels, rng, cells.pop(), split) for _ in range(signs))
    return Scene(image, objects, plates, labels.classes, labels.colours, labels.centres, split, seed)


def region_at(x: float, y: float) -> str:
    """Return the ninth of the image that holds the point (x, y) in pixels."""
    return REGIONS[int(y // CELL) * 3 + int(x // CELL)]


def _paste_distractor(image: Image.Image, rng: random.Random) -> None:
    width, height = rng.randint(14, 56), rng.randint(14, 56)
    mask = Image.new("L", (width, height), 255)
    if rng.random() < 0.5:
        mask = art.shape("circle", "black", 64).getchannel("A").resize((width, height))
    place = (rng.randint(0, IMAGE_SIZE - width), rng.randint(0, IMAGE_SIZE - height))
    image.paste(art.texture(rng, (width, height)), place, mask)


def _choose_names(rng: random.Random) -> list[str]:
    """Choose 1 to 6 words; in four of ten scenes the first one is repeated once or twice."""
    count = rng.randint(1, 6)
    names = [_choose_name(rng) for _ in range(count)]
    if count >= 2 and rng.random() < 0.4:
        repeats = rng.randint(2, min(3, count))
        names[:repeats] = [names[0]] * repeats
    return names


def _choose_name(rng: random.Random) -> str:
    return rng.choice(SHAPES) if rng.random() < 0.2 else rng.choice(EMOJI)


def _place(rng: random.Random, cell: int, width: int, height: int) -> Box:
    """Return a box of the given size whose middle lies well inside the cell, clipped to the image."""
    centre_x, centre_y = (cell % 3 + 0.5) * CELL, (cell // 3 + 0.5) * CELL
    slack_x, slack_y = max(0.0, (72 - width) / 2), max(0.0, (72 - height) / 2)
    left = int(centre_x + rng.uniform(-slack_x, slack_x) - width / 2)
    top = int(centre_y + rng.uniform(-slack_y, slack_y) - height / 2)
    left, top = min(max(left, 0), IMAGE_SIZE - width), min(max(top, 0), IMAGE_SIZE - height)
    return left, top, left + width, top + height


def _paste_object(
    image: Image.Image, labels: _Labels, rng: random.Random, name: str, cell: int, split: str
) -> SceneObject:
    size = int(rng.triangular(24, 62, 36))
    colour = rng.choice(COLOUR_NAMES) if name in SHAPES else None
    picture = art.sprite(name, size, atlas=art.atlas_name(split)) if colour is None else art.shape(name, colour, size)
    if colour is None and rng.random() < 0.5:
        picture = picture.rotate(rng.uniform(-15, 15), Image.Resampling.BICUBIC)
    if colour is None and rng.random() < 0.3:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    box = _place(rng, cell, size, size)
    image.paste(picture, box[:2], picture)
    labels.mark((box[0] + 2, box[1] + 2, box[2] - 2, box[3] - 2), name, colour)
    labels.centre(box)
    return SceneObject(name, REGIONS[cell], box, colour)


def _paste_sign(image: Image.Image, labels: _Labels, rng: random.Random, cell: int, split: str) -> Sign:
    number = "".join(rng.choice(DIGITS) for _ in range(2))
    colour, font = rng.choice(COLOUR_NAMES), rng.choice(art.font_names(split))
    height = rng.randint(34, 50)
    glyphs = [art.glyph(digit, font, height) for digit in number]
    width = sum(glyph.width for glyph in glyphs) + 8
    box = _place(rng, cell, width, height)
    image.paste(COLOURS[colour], box)
    labels.mark(box, "sign", colour)
    labels.cover_again()
    ink = (0, 0, 0) if sum(COLOURS[colour]) > 420 else (255, 255, 255)
    left, digit_boxes = box[0] + 4, []
    for digit, glyph in zip(number, glyphs, strict=True):
        image.paste(ink, (left, box[1]), glyph)
        digit_box = (left, box[1] + height // 6, left + glyph.width, box[3] - height // 6)
        labels.mark(digit_box, digit, colour, threshold=0.25)
        labels.centre(digit_box)
        digit_boxes.append(digit_box)
        left += glyph.width
    return Sign(number, colour, REGIONS[cell], box, tuple(digit_boxes))
