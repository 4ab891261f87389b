"""Passes before the encoder against plain versions of their rules."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
import torch

from foveate.ir.layout import Layout
from foveate.passes import REGISTRY, Tokens
from foveate.passes.downsample import similar_grid
from foveate.passes.input_pass import InputPass

CLIP = Layout(8 * 6, (8, 2, 3))


def draw(layout: Layout, *, rows: int = 3, width: int = 12, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, layout.count, width, generator=torch.Generator().manual_seed(seed))


def selected(name: str, features: torch.Tensor, layout: Layout, keep: float, **params: object) -> np.ndarray:
    method = REGISTRY.get(name)(**params)
    return method.compress(Tokens(features, layout, {}), method.count(layout, keep)).index.numpy()


def frames_of(index: np.ndarray, places: int = 6) -> np.ndarray:
    """The frames of an index that must hold whole frames."""
    frames = index[:, ::places] // places
    assert (index == (frames[..., None] * places + np.arange(places)).reshape(index.shape)).all()
    return frames


def mgsampler(clip: np.ndarray, count: int, power: float) -> list[int]:
    """MGSampler's test-time rule for one clip (T, n, P), with repeats moved to free frames."""
    motion = [float(np.abs(later - earlier).mean()) ** power for earlier, later in pairwise(clip)]
    passed = np.concatenate([[0.0], np.cumsum(motion)]) / sum(motion)
    nearest = [int(np.argmin(np.abs(passed - (i + 0.5) / count))) for i in range(count)]
    frames: list[int] = []
    for frame in nearest:
        frames.append(max(frame, frames[-1] + 1) if frames else frame)
    return [min(frame, len(clip) - count + i) for i, frame in enumerate(frames)]


@pytest.mark.parametrize("power", [0.5, 1.0, 0.25])
@pytest.mark.parametrize("keep", [0.125, 0.4, 0.75])
def test_mgsampler_takes_equal_shares_of_the_motion(keep: float, power: float) -> None:
    features = draw(CLIP)
    features[1, 18:] = features[1, 18:24].repeat(5, 1)  # half of the clip stands still
    frames = frames_of(selected("mgsampler-pixels", features, CLIP, keep, power=power))
    clips = features.double().numpy().reshape(3, 8, 6, 12)
    assert frames.tolist() == [mgsampler(clip, frames.shape[1], power) for clip in clips]


def test_mgsampler_without_motion_is_spread_over_time_and_halts_are_skipped() -> None:
    still = torch.ones(1, CLIP.count, 4)
    assert frames_of(selected("mgsampler-pixels", still, CLIP, 0.5)).tolist() == [[1, 3, 4, 6]]
    moving = still.clone()
    moving[:, 24:30] *= 5  # only frame 4 differs
    assert frames_of(selected("mgsampler-pixels", moving, CLIP, 0.25)).tolist() == [[3, 5]]  # before and after it


@pytest.mark.parametrize(("keep", "expected"), [(0.5, [1, 3, 5, 7]), (0.25, [2, 6]), (0.1, [4]), (1.0, list(range(8)))])
def test_uniform_frames_are_the_middles_of_equal_shares(keep: float, expected: list[int]) -> None:
    frames = frames_of(selected("uniform-frames", draw(CLIP), CLIP, keep))
    assert (frames == expected).all()


def nearest_similar(height: int, width: int, cells: int) -> tuple[int, int]:
    """All grids of nearly the same shape, the one with the number of cells nearest, smallest first."""
    found = []
    for rows in range(1, height + 1):
        for columns in range(1, width + 1):
            if columns == max(1, round(rows * width / height)) or rows == max(1, round(columns * height / width)):
                found.append((abs(rows * columns - cells), rows, columns))
    return min(found)[1:]


@pytest.mark.parametrize("shape", [(24, 24), (4, 8), (7, 5), (1, 9), (16, 12)])
def test_downsampling_keeps_the_shape(shape: tuple[int, int]) -> None:
    for cells in range(1, shape[0] * shape[1] + 1, 7):
        grid = similar_grid(*shape, cells)
        assert grid == nearest_similar(*shape, cells)
        assert shape[0] != shape[1] or grid[0] == grid[1]


def test_downsampled_cells_stand_in_the_middle_of_what_they_cover() -> None:
    layout = Layout(2 * 4 * 6, (2, 4, 6))
    method = REGISTRY.get("downsample")()
    target = method.count(layout, 0.25)
    assert target.grid == (2, 2, 3)
    found = method.compress(Tokens(draw(layout), layout, {}), target)
    expected = []
    for frame, row, column in product(range(2), range(2), range(3)):
        covered = [(y, x) for y in range(4) for x in range(6) if y // 2 == row and x // 2 == column]
        expected.append(frame * 24 + 6 * min(y for y, _ in covered) + min(x for _, x in covered))
    assert (found.index.numpy() == expected).all()


def test_the_quietest_stretches_go() -> None:
    layout = Layout(10)
    features = draw(layout, rows=4)
    features[0, 3:6] = -9.0
    index = selected("trim-padding", features, layout, 0.7)
    loudness = features.numpy().mean(axis=2)
    assert (index == np.sort(np.argsort(-loudness, axis=1)[:, :7], axis=1)).all()
    assert index[0].tolist() == [0, 1, 2, 6, 7, 8, 9]


def test_the_end_of_a_window_stays_though_it_is_as_quiet_as_padding() -> None:
    layout = Layout(1500)
    features = draw(layout, rows=2)
    features[:, 1300:] = -9.0  # what follows the speech: 200 stretches of equal silence
    loudness = features.numpy().mean(axis=2)
    for keep, speech in ((0.9, 1300), (0.5, 730)):
        index = selected("trim-padding", features, layout, keep)
        assert (index[:, -20:] == np.arange(1480, 1500)).all()
        assert index.shape[1] == int(1500 * keep + 0.5)
        loudest = np.sort(np.argsort(-loudness[:, :1300], axis=1)[:, :speech], axis=1)
        assert (index[:, :speech] == loudest).all()
    few = selected("trim-padding", features, layout, 0.01)
    assert (few[:, -3:] == np.arange(1497, 1500)).all()
    assert (few[:, :-3] < 1300).all()
    assert (selected("trim-padding", features, layout, 0.8, end=0.0) < 1300).all()


def test_every_pass_at_an_input_says_what_it_changes() -> None:
    found = {name: REGISTRY.get(name) for name in REGISTRY.names() if "input" in REGISTRY.get(name).sites}
    assert found.keys() >= {"downsample", "uniform-frames", "mgsampler-pixels", "trim-padding"}
    assert all(issubclass(cls, InputPass) and cls.sites == ("input",) for cls in found.values())
