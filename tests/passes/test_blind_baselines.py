"""The baselines that do not look at the picture: `uniform` is evenly spread, `random` is evenly likely."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from foveate.ir.layout import Layout
from foveate.passes import Tokens, create


def kept(name: str, layout: Layout, count: int, *, call_seed: int = 0, rows: int = 1, **params: int) -> list[list[int]]:
    tokens = Tokens(torch.zeros(rows, layout.count, 2), layout, {}, call_seed)
    return create(name, params).compress(tokens, Layout(count)).index.tolist()


def discrepancy(cells: list[int], height: int, width: int) -> float:
    """Largest gap between the share of kept cells and the share of area, over all rectangles at a corner."""
    hits = np.zeros((height, width))
    hits.reshape(-1)[cells] = 1
    share = hits.cumsum(0).cumsum(1) / len(cells)
    area = np.outer(np.arange(1, height + 1) / height, np.arange(1, width + 1) / width)
    return float(np.abs(share - area).max())


@pytest.mark.parametrize(("height", "width"), [(24, 24), (16, 9), (12, 32)])
@pytest.mark.parametrize(("keep", "share"), [(0.1, 0.85), (0.25, 0.5), (0.4, 0.5), (0.7, 0.6)])
def test_uniform_is_spread_better_than_chance(height: int, width: int, keep: float, share: float) -> None:
    count = round(keep * height * width)
    ours = discrepancy(kept("uniform", Layout.image(height, width), count)[0], height, width)
    draws = np.random.default_rng(0)
    chance = [discrepancy(draws.permutation(height * width)[:count].tolist(), height, width) for _ in range(50)]
    assert ours < share * np.median(chance)


@pytest.mark.parametrize("layout", [Layout.image(6, 7), Layout(13), Layout(24, (2, 3, 4))])
def test_uniform_of_all_is_all(layout: Layout) -> None:
    assert kept("uniform", layout, layout.count, rows=2) == [list(range(layout.count))] * 2


@pytest.mark.parametrize(("total", "count"), [(8, 4), (23, 5), (100, 33), (7, 6), (9, 1)])
def test_uniform_in_a_sequence_has_even_gaps(total: int, count: int) -> None:
    index = np.array(kept("uniform", Layout(total), count)[0])
    gaps = np.diff(index)
    assert gaps.size == 0 or gaps.max() - gaps.min() <= 1
    assert abs(index.mean() - (total - 1) / 2) <= 1


def test_uniform_gives_every_frame_its_share() -> None:
    frames = np.array(kept("uniform", Layout(4 * 25, (4, 5, 5)), 30)[0]) // 25
    assert set(np.bincount(frames, minlength=4)) <= {7, 8}


def test_random_is_evenly_likely_for_every_token_and_every_pair() -> None:
    total, count, draws = 10, 4, 3000
    tokens, pairs = np.zeros(total), np.zeros((total, total))
    for seed in range(draws):
        chosen = kept("random", Layout(total), count, call_seed=seed)[0]
        tokens[chosen] += 1
        for i, j in itertools.combinations(chosen, 2):
            pairs[i, j] += 1
    share = count / total
    assert np.abs(tokens / draws - share).max() < 5 * np.sqrt(share * (1 - share) / draws)
    together = count * (count - 1) / (total * (total - 1))
    found = pairs[np.triu_indices(total, 1)] / draws
    assert np.abs(found - together).max() < 5 * np.sqrt(together * (1 - together) / draws)


def test_random_follows_the_seeds_of_plan_and_call_and_is_the_same_for_every_medium() -> None:
    layout = Layout(100)
    first = kept("random", layout, 30, rows=3)
    assert first[0] == first[1] == first[2]
    assert first == kept("random", layout, 30, rows=3)
    assert first[0] != kept("random", layout, 30, call_seed=1)[0]
    assert first[0] != kept("random", layout, 30, seed=5)[0]
