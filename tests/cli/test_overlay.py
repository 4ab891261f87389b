"""Drawing the kept tokens: pixels checked one patch at a time."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from foveate.common.errors import BadInput
from foveate.runtime.overlay import draw_kept

COLOUR = (200, 40, 40)


@pytest.fixture
def image() -> Image.Image:
    return Image.new("RGB", (40, 20), COLOUR)


def inside(drawn: Image.Image, row: int, column: int) -> np.ndarray:
    """The pixels of one patch of a 2 x 4 grid, without its rim."""
    height, width = drawn.height // 2, drawn.width // 4
    patch = np.asarray(drawn)[row * height : (row + 1) * height, column * width : (column + 1) * width]
    return patch[1:-1, 1:-1].reshape(-1, 3)


def test_kept_patches_keep_their_pixels_and_the_others_are_dimmed(image: Image.Image) -> None:
    kept = {0, 6}
    drawn = draw_kept(image, (2, 4), kept)
    assert drawn.size == (120, 60)
    for index in range(8):
        pixels = inside(drawn, *divmod(index, 4))
        if index in kept:
            assert (pixels == COLOUR).all()
        else:
            assert (pixels < 40).all()


def test_kept_patches_have_an_outline(image: Image.Image) -> None:
    drawn = np.asarray(draw_kept(image, (2, 4), [5]))
    top, left = drawn[30, 30:60], drawn[30:60, 30]
    assert (top == top[0]).all()
    assert (left == top[0]).all()
    assert tuple(top[0]) != COLOUR


def test_a_grid_that_does_not_divide_the_picture_still_covers_it(image: Image.Image) -> None:
    drawn = np.asarray(draw_kept(image, (3, 7), range(21), scale=1))
    assert ((drawn == COLOUR).all(axis=-1) | (drawn[..., 2] == 0)).all()


def test_boxes_are_drawn_and_the_picture_is_left_alone(image: Image.Image) -> None:
    without, drawn = draw_kept(image, (2, 4), []), draw_kept(image, (2, 4), [], boxes=[(10, 5, 20, 15)])
    changed = (np.asarray(without) != np.asarray(drawn)).any(axis=-1)
    rows, columns = np.nonzero(changed)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (15, 44, 30, 59)
    assert image.getpixel((0, 0)) == COLOUR


@pytest.mark.parametrize(
    ("grid", "kept", "scale"), [((2, 4), [8], 3), ((2, 4), [-1], 3), ((0, 4), [], 3), ((2, 4), [], 0)]
)
def test_what_cannot_be_drawn_is_refused(
    image: Image.Image, grid: tuple[int, int], kept: list[int], scale: int
) -> None:
    with pytest.raises(BadInput):
        draw_kept(image, grid, kept, scale=scale)
