"""Average pooling by hand, for grids that divide and grids that do not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from foveate.ir.layout import Layout
from foveate.passes import Tokens, create
from foveate.passes.pool import nearest_grid
from foveate.passes.primitives.merge import merged

LAYOUTS = [
    (Layout.image(24, 24), 0.25, (1, 12, 12)),
    (Layout.image(4, 4), 0.25, (1, 2, 2)),
    (Layout.image(6, 6), 0.44, (1, 4, 4)),
    (Layout.image(5, 7), 0.34, None),
    (Layout.image(3, 8), 0.5, None),
    (Layout(48, (3, 4, 4)), 0.25, (3, 2, 2)),
    (Layout(23), 0.35, None),
    (Layout(7), 0.02, None),
]


def pooled_by_hand(features: np.ndarray, before: Layout, after: Layout) -> tuple[np.ndarray, list[int]]:
    """Means and central cells of the bins: cell y of H is in bin y*R//H of R, and so for columns and runs."""
    frames, height, width = before.grid or (1, 1, before.count)
    _, rows, columns = after.grid or (1, 1, after.count)
    means, centres = [], []
    for frame in range(frames):
        for row in range(rows):
            for column in range(columns):
                ys = [y for y in range(height) if y * rows // height == row]
                xs = [x for x in range(width) if x * columns // width == column]
                cells = [(frame * height + y) * width + x for y in ys for x in xs]
                means.append(features[:, cells].mean(axis=1))
                y, x = ys[(len(ys) - 1) // 2], xs[(len(xs) - 1) // 2]
                centres.append((frame * height + y) * width + x)
    return np.stack(means, axis=1), centres


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 1e-2)])
@pytest.mark.parametrize(("layout", "keep", "grid"), LAYOUTS)
def test_every_bin_becomes_its_mean_at_its_centre(layout, keep, grid, dtype, tolerance) -> None:
    features = torch.randn(2, layout.count, 6, generator=torch.Generator().manual_seed(0)).to(dtype)
    method = create("pool")
    target = method.count(layout, keep)
    assert grid is None or target.grid == grid
    found = method.compress(Tokens(features, layout, {}), target)
    means, centres = pooled_by_hand(features.double().numpy(), layout, target)
    assert found.index.tolist() == [centres] * 2
    np.testing.assert_allclose(merged(features, found).double().numpy(), means, rtol=tolerance, atol=tolerance)


def test_pooling_a_dividing_grid_is_torchs_average_pooling() -> None:
    features = torch.randn(2, 64, 5, generator=torch.Generator().manual_seed(1))
    method, layout = create("pool"), Layout.image(8, 8)
    found = method.compress(Tokens(features, layout, {}), method.count(layout, 0.25))
    grid = features.mT.reshape(2, 5, 8, 8)
    expected = torch.nn.functional.avg_pool2d(grid, 2).flatten(2).mT
    assert torch.allclose(merged(features, found), expected, atol=1e-6)


@given(st.integers(1, 30), st.integers(1, 30), st.floats(0.01, 1.0))
def test_the_grid_is_the_nearest_that_is_not_stretched_far(height: int, width: int, keep: float) -> None:
    cells = max(1, round(keep * height * width))
    rows, columns = nearest_grid(height, width, cells)
    assert 1 <= rows <= height
    assert 1 <= columns <= width

    def stretch(r: int, c: int) -> float:
        return max(r * width, c * height) / min(r * width, c * height)

    every = [(r, c) for r in range(1, height + 1) for c in range(1, width + 1)]
    if stretch(rows, columns) <= 2:
        nearest = min(abs(r * c - cells) for r, c in every if stretch(r, c) <= 2)
    else:  # such as 1 x 1 out of a long strip
        nearest = min(abs(r * c - cells) for r, c in every)
    assert abs(rows * columns - cells) == nearest


@given(st.integers(1, 40), st.integers(1, 40))
def test_runs_differ_by_at_most_one(total: int, count: int) -> None:
    count = min(total, count)
    found = create("pool").compress(Tokens(torch.zeros(1, total, 2), Layout(total), {}), Layout(count))
    sizes = torch.bincount(found.assign[0], minlength=count)
    assert sizes.sum() == total
    assert sizes.max() - sizes.min() <= 1
