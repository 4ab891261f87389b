"""The art that scenes are composed of: sprites, digit glyphs, photographs and generated textures.

Everything is read from ``testbed/assets`` once per process and kept; ``prepare_art.py`` builds those files. Which
photograph, sprite atlas and digit font belongs to which split is decided here and nowhere else.
"""

from __future__ import annotations

import json
import random
from functools import cache, lru_cache
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance

from .vocabulary import COLOURS, DIGITS, EMOJI

ART: Final = Path(__file__).parent / "assets"
SPRITE_SIZE: Final = 64
ATLAS_COLUMNS: Final = 8
GLYPH_SIZE: Final = (48, 64)

PHOTOGRAPHS: Final[dict[str, tuple[str, ...]]] = {
    "train": (
        *("astronaut", "brick", "grass", "gravel", "camera", "rocket", "hubble_deep_field", "retina", "cell"),
        "flower",
    ),
    "calibration": ("microaneurysms", "coins"),
    "heldout": ("chelsea", "china"),
    "heldout-art": ("coffee", "ihc"),
}
FONT_NAMES: Final = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif-Bold", "DejaVuSansMono-Bold"),
    *("Aileron", "DejaVuSerif-Italic"),
)
HELDOUT_FONTS: Final = FONT_NAMES[4:]


def atlas_name(split: str) -> str:
    """Return which sprite atlas a split draws from: Twemoji is held out from training."""
    return "twemoji" if split == "heldout-art" else "noto"


def font_names(split: str) -> tuple[str, ...]:
    """Return the digit fonts of a split; the last two are held out from training."""
    return HELDOUT_FONTS if split == "heldout-art" else FONT_NAMES[:4]


@cache
def photographs(split: str) -> tuple[Image.Image, ...]:
    """Return the photographs of a split, RGB, short side at most 300 px."""
    return tuple(Image.open(ART / f"{stem}.jpg").convert("RGB") for stem in PHOTOGRAPHS[split])


@cache
def _atlas(name: str) -> Image.Image:
    return Image.open(ART / f"{name}.png").convert("RGBA")


@cache
def _glyphs() -> tuple[Image.Image, dict[str, list[int]]]:
    return Image.open(ART / "digits.png").convert("L"), json.loads((ART / "digits.json").read_text())


@lru_cache(maxsize=8192)
def sprite(word: str, size: int, *, atlas: str = "noto") -> Image.Image:
    """Return the emoji ``word`` as a square RGBA picture of ``size`` pixels."""
    index = EMOJI.index(word)
    x, y = index % ATLAS_COLUMNS * SPRITE_SIZE, index // ATLAS_COLUMNS * SPRITE_SIZE
    picture = _atlas(atlas).crop((x, y, x + SPRITE_SIZE, y + SPRITE_SIZE))
    return picture.resize((size, size), Image.Resampling.LANCZOS)


@lru_cache(maxsize=8192)
def shape(word: str, colour: str, size: int) -> Image.Image:
    """Return a filled shape (circle, square, triangle, diamond) with a grey rim, drawn at four times the size."""
    side = size * 4
    far, middle = side - 8, side // 2
    picture = Image.new("RGBA", (side, side))
    draw = ImageDraw.Draw(picture)
    fill, rim = COLOURS[colour], (128, 128, 128)
    if word == "circle":
        draw.ellipse((8, 8, far, far), fill=fill, outline=rim, width=8)
    else:
        corners = {
            "square": ((8, 8), (far, 8), (far, far), (8, far)),
            "triangle": ((middle, 8), (far, far), (8, far)),
            "diamond": ((middle, 8), (far, middle), (middle, far), (8, middle)),
        }[word]
        draw.polygon(corners, fill=fill, outline=rim, width=8)
    return picture.resize((size, size), Image.Resampling.BOX)


@lru_cache(maxsize=4096)
def glyph(digit: str, font: str, height: int) -> Image.Image:
    """Return one digit as an 8-bit coverage mask of ``height`` pixels, as wide as the font advances."""
    atlas, advances = _glyphs()
    row, column = FONT_NAMES.index(font), DIGITS.index(digit)
    width, advance = GLYPH_SIZE[0], advances[font][column]
    box = (column * width, row * GLYPH_SIZE[1], column * width + advance, (row + 1) * GLYPH_SIZE[1])
    return atlas.crop(box).resize((max(1, round(advance * height / GLYPH_SIZE[1])), height), Image.Resampling.LANCZOS)


def texture(rng: random.Random, size: tuple[int, int]) -> Image.Image:
    """Draw a generated texture of ``size`` (width, height): gradient, smooth noise, stripes or checks.

    Two colours are mixed by a field in [0, 1]; the field and its scale come from ``rng`` alone.
    """
    width, height = size
    noise = np.random.default_rng(rng.getrandbits(32))
    angle, period, kind = rng.uniform(0, np.pi), rng.uniform(6, 60), rng.randrange(4)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    if kind == 0:
        field = (along - along.min()) / (np.ptp(along) + 1)
    elif kind == 1:
        cells = rng.choice((3, 6, 12, 28))
        coarse = Image.fromarray(noise.integers(0, 256, (cells, cells), dtype=np.uint8))
        field = np.asarray(coarse.resize(size, Image.Resampling.BICUBIC), dtype=np.float32) / 255
    elif kind == 2:
        field = 0.5 + 0.5 * np.sin(2 * np.pi * along / period)
    else:
        field = ((np.floor(along / period) + np.floor(across / period)) % 2).astype(np.float32)
    first, second = noise.uniform(20, 235, 3), noise.uniform(20, 235, 3)
    mixed = first + field[..., None] * (second - first) + noise.normal(0, rng.uniform(0, 14), (height, width, 1))
    return Image.fromarray(np.clip(mixed, 0, 255).astype(np.uint8))


def background(rng: random.Random, split: str, size: int) -> Image.Image:
    """Draw a square background of ``size`` pixels: a texture, or a crop of one of the split's photographs.

    A crop may be mirrored, have its colour channels swapped, and is made darker or lighter.
    """
    if rng.random() < 0.4:
        return texture(rng, (size, size))
    picture = rng.choice(photographs(split))
    side = rng.uniform(0.4, 1) * min(picture.size)
    left, top = rng.uniform(0, picture.width - side), rng.uniform(0, picture.height - side)
    box = (left, top, left + side, top + side)
    crop = picture.resize((size, size), Image.Resampling.BILINEAR, box=box)
    if rng.random() < 0.5:
        crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if rng.random() < 0.3:
        crop = Image.merge("RGB", rng.sample(crop.split(), 3))
    return ImageEnhance.Brightness(crop).enhance(rng.uniform(0.5, 1.2))
