"""A sound's waveform over a time axis, with the kept stretches lit."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..common.errors import BadInput

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

_SIZE = (1200, 240)
_AXIS = 24
_BACKGROUND, _LIT = (24, 24, 24), (92, 74, 8)
_WAVE, _KEPT_WAVE, _INK = (120, 120, 120), (255, 210, 0), (200, 200, 200)
_MOST_TICKS = 12


def draw_sound(samples: NDArray[np.float32], seconds: float, tokens: int, kept: Iterable[int]) -> Image:
    """Draw which stretches of a sound are kept: theirs are lit, the waveform of the others is grey.

    Args:
        samples: (N,) in [-1, 1], from the beginning of the time that the tokens cover; it may end before they do.
        seconds: the time that `samples` last. tokens: how many tokens cover the whole axis.
        kept: indices of the kept tokens; token i covers [i, i + 1) / tokens of the axis.

    Returns:
        A new RGB picture of 1200 x 240 pixels.

    Raises:
        BadInput: no samples, no time, or an index that is no token's.
    """
    from PIL import Image as images
    from PIL import ImageDraw

    indices = sorted(set(kept))
    if not len(samples) or seconds <= 0 or tokens < 1:
        raise BadInput("a sound without samples, time or tokens cannot be drawn; give one that lasts.")
    if indices and not 0 <= indices[0] <= indices[-1] < tokens:
        raise BadInput(f"token {indices[-1]} is none of the sound's {tokens}: give the tokens' own number.")
    picture = images.new("RGB", _SIZE, _BACKGROUND)
    draw = ImageDraw.Draw(picture)
    width, height = _SIZE[0], _SIZE[1] - _AXIS
    lit = np.zeros(width, dtype=bool)
    for index in indices:
        left, right = index * width // tokens, max((index + 1) * width // tokens, index * width // tokens + 1)
        lit[left:right] = True
        draw.rectangle((left, 0, right - 1, height - 1), fill=_LIT)
    for column, level in enumerate(_levels(samples, width)):
        half = round(float(level) * (height // 2 - 2))
        draw.line((column, height // 2 - half, column, height // 2 + half), fill=_KEPT_WAVE if lit[column] else _WAVE)
    _axis(draw, seconds, width, height)
    return picture


def _levels(samples: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """(width,) loudest sample of each column, the loudest of all being 1."""
    edges = np.linspace(0, len(samples), width + 1).astype(int)
    starts = np.minimum(edges[:-1], len(samples) - 1)
    levels: NDArray[np.float32] = np.maximum.reduceat(np.abs(samples), starts)
    return levels / max(float(levels.max()), 1e-9)


def _axis(draw: ImageDraw, seconds: float, width: int, height: int) -> None:
    """Ticks at round seconds."""
    step = next(s for s in (0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 3600, math.inf) if seconds / s <= _MOST_TICKS)
    number = 0
    while step < math.inf and number * step <= seconds:
        x = min(width - 1, round(number * step / seconds * width))
        draw.line((x, height, x, height + 5), fill=_INK)
        draw.text((min(x + 3, width - 30), height + 6), f"{number * step:g} s", fill=_INK)
        number += 1
