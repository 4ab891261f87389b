"""The picture with the kept tokens drawn on it: what a plan looks at."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..common.errors import BadInput

if TYPE_CHECKING:
    from PIL.Image import Image

Box = tuple[int, int, int, int]

_DIMMED = 0.62
_KEPT_OUTLINE = (255, 210, 0)
_BOX_OUTLINE = (0, 230, 120)


def draw_kept(
    image: Image, grid: tuple[int, int], kept: Iterable[int], *, boxes: Iterable[Box] = (), scale: int = 3
) -> Image:
    """Draw which tokens of a picture are kept: the others' patches are dimmed, theirs outlined.

    Args:
        image: the picture as the model saw it (resized and cropped by its processor), any mode.
        grid: (rows, columns) of its tokens.
        kept: indices of the kept tokens, row by row from 0, in any order.
        boxes: further rectangles (left, top, right, bottom) in pixels of `image`, such as where an answer is found.
        scale: how many times larger the drawing is than the picture, at least 1.

    Returns:
        A new RGB picture, `scale` times the size of `image`.

    Raises:
        BadInput: an index outside the grid, an empty grid, or a scale below 1.
    """
    from PIL import Image as images
    from PIL import ImageDraw

    rows, columns = grid
    indices = _checked(kept, rows, columns, scale)
    size = (image.width * scale, image.height * scale)
    large = image.convert("RGB").resize(size, images.Resampling.BICUBIC)
    mask = images.new("L", (columns, rows))
    for index in indices:
        mask.putpixel((index % columns, index // columns), 255)
    grey = large.convert("L").convert("RGB")
    dimmed = images.blend(grey, images.new("RGB", size), _DIMMED)
    drawn = images.composite(large, dimmed, mask.resize(size, images.Resampling.NEAREST))
    draw = ImageDraw.Draw(drawn)
    for index in indices:
        draw.rectangle(_patch(index, rows, columns, size), outline=_KEPT_OUTLINE)
    for left, top, right, bottom in boxes:
        draw.rectangle(
            (left * scale, top * scale, right * scale - 1, bottom * scale - 1), outline=_BOX_OUTLINE, width=2
        )
    return drawn


def _checked(kept: Iterable[int], rows: int, columns: int, scale: int) -> list[int]:
    indices = sorted(set(kept))
    if rows < 1 or columns < 1 or scale < 1:
        raise BadInput(f"cannot draw a grid of {rows} x {columns} at scale {scale}: all three must be at least 1.")
    if indices and not 0 <= indices[0] <= indices[-1] < rows * columns:
        raise BadInput(f"token {indices[-1]} is outside the grid of {rows} x {columns}: give the tokens' own grid.")
    return indices


def _patch(index: int, rows: int, columns: int, size: tuple[int, int]) -> Box:
    """Pixel rectangle of a token's patch, both corners inside it."""
    row, column = divmod(index, columns)
    left, right = column * size[0] // columns, (column + 1) * size[0] // columns - 1
    top, bottom = row * size[1] // rows, (row + 1) * size[1] // rows - 1
    return left, top, right, bottom
