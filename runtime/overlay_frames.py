"""A clip, or a picture cut in tiles, as a sheet of frames with the kept tokens drawn on each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..common.errors import BadInput
from .overlay import draw_kept

if TYPE_CHECKING:
    from PIL.Image import Image

_GAP = 6
_BACKGROUND = (90, 90, 90)


def draw_frames(
    frames: Sequence[Image], grid: tuple[int, int], kept: Sequence[Sequence[int]], *, columns: int = 8, scale: int = 2
) -> Image:
    """Draw which tokens of each frame are kept, row by row of the sheet; a frame that keeps none is dim all over.

    Args:
        frames: pictures of one size. grid: (rows, columns) of the tokens of each.
        kept: for each frame the indices of its kept tokens, row by row from 0.
        columns: frames side by side. scale: how many times larger they are drawn.

    Returns:
        A new RGB picture.

    Raises:
        BadInput: no frames, or not one list of kept tokens for each; or as `draw_kept`.
    """
    from PIL import Image as images

    if not frames or len(frames) != len(kept):
        raise BadInput(
            f"{len(frames)} frames cannot be drawn with {len(kept)} lists of kept tokens: give one for each."
        )
    drawn = [draw_kept(frame, grid, tokens, scale=scale) for frame, tokens in zip(frames, kept, strict=True)]
    across = min(columns, len(drawn))
    down = -(-len(drawn) // across)
    width, height = drawn[0].width + _GAP, drawn[0].height + _GAP
    sheet = images.new("RGB", (across * width - _GAP, down * height - _GAP), _BACKGROUND)
    for number, frame in enumerate(drawn):
        sheet.paste(frame, (number % across * width, number // across * height))
    return sheet


def by_frame(kept: Sequence[int], frames: int, places: int) -> list[list[int]]:
    """Kept tokens of a clip as one list of places for each frame.

    Example:
        >>> by_frame([0, 3, 5], 3, 2)
        [[0], [1], [1]]
    """
    found: list[list[int]] = [[] for _ in range(frames)]
    for token in kept:
        found[token // places].append(token % places)
    return found
