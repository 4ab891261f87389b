"""Chains of neighbours: torch and Triton against a plain loop, and the groups that the A-ToMe pass forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from drawn import DEVICE, DTYPES, few, normal, shapes
from hypothesis import example, given

from foveate.kernels.neighbour_chains import neighbour_chains, neighbour_chains_torch
from foveate.kernels.neighbour_chains_triton import neighbour_chains_triton

WAYS = (neighbour_chains, neighbour_chains_torch, neighbour_chains_triton)


def chains_by_hand(features: np.ndarray, count: int) -> tuple[list[int], list[int]]:
    """Join one pair of neighbours after the other, the most alike first."""
    unit = features / np.linalg.norm(features, axis=-1, keepdims=True)
    joins: set[int] = set()
    for token in sorted(range(1, len(unit)), key=lambda t: (-float(unit[t] @ unit[t - 1]), t))[: len(unit) - count]:
        joins.add(token)
    index = [token for token in range(len(unit)) if token not in joins]
    return index, [sum(start <= token for start in index) - 1 for token in range(len(unit))]


@few
@given(shapes(batch=2, tokens=40, width=30), DTYPES)
@example({"batch": 1, "tokens": 1, "width": 1, "seed": 0}, torch.float32)
def test_the_most_alike_neighbours_join(shape: dict[str, int], dtype: torch.dtype) -> None:
    features = normal(shape["batch"], shape["tokens"], shape["width"] + 2, seed=shape["seed"], dtype=dtype)
    count = 1 + shape["seed"] % shape["tokens"]
    expected = [chains_by_hand(row, count) for row in features.cpu().double().numpy()]
    for way in WAYS:
        index, assign = way(features, count=count)
        assert list(zip(index.tolist(), assign.tolist(), strict=True)) == expected


@pytest.mark.parametrize("way", WAYS)
def test_of_equal_neighbours_the_earlier_join_and_nan_last(way) -> None:
    features = torch.ones(1, 6, 4, device=DEVICE)
    assert [part.tolist() for part in way(features, count=4)] == [[[0, 3, 4, 5]], [[0, 0, 0, 1, 2, 3]]]
    features[0, 2, 1] = math.nan  # its cosines with both neighbours are NaN
    assert [part.tolist() for part in way(features, count=3)] == [[[0, 2, 3]], [[0, 0, 1, 2, 2, 2]]]
