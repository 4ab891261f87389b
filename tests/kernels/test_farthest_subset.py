"""The max-min subset: the same choice as `max_min` on every way, ties and NaN included."""

from __future__ import annotations

import math

import pytest
import torch
from drawn import DEVICE, few, normal, shapes
from hypothesis import example, given

from foveate.kernels.farthest_subset import farthest_subset, farthest_subset_torch
from foveate.kernels.farthest_subset_triton import farthest_subset_triton
from foveate.kernels.max_min import max_min

sets = shapes(batch=2, tokens=70, width=20)
WAYS = (farthest_subset, farthest_subset_torch, farthest_subset_triton)


@few
@given(sets)
@example({"batch": 1, "tokens": 1, "width": 1, "seed": 0})
@example({"batch": 2, "tokens": 65, "width": 17, "seed": 3})
def test_every_way_keeps_what_max_min_chooses(shape: dict[str, int]) -> None:
    features = normal(shape["batch"], shape["tokens"], shape["width"] + 2, seed=shape["seed"])
    count = 1 + shape["seed"] % shape["tokens"]
    expected = [sorted(row) for row in max_min(features, count).tolist()]
    for way in WAYS:
        assert way(features, count=count).tolist() == expected


def test_half_precision_is_compared_in_float32() -> None:
    features = normal(1, 40, 24, seed=5, dtype=torch.bfloat16)
    expected = farthest_subset_torch(features.float(), count=12).tolist()
    for way in WAYS:
        assert way(features, count=12).tolist() == expected


@pytest.mark.parametrize("way", WAYS)
def test_orthogonal_tokens_are_taken_in_order_and_nan_counts_as_zero(way) -> None:
    ties = torch.eye(6, device=DEVICE)[None]  # every distance is exactly 1
    assert way(ties, count=4).tolist() == [[0, 1, 2, 3]]
    features = normal(1, 6, 4, seed=1).clone()
    zero, spoilt = features.clone(), features.clone()
    zero[0, 2], spoilt[0, 2, 1] = 0.0, math.nan
    assert torch.equal(way(spoilt, count=4), way(zero, count=4))
    spoilt[0, 2, 1] = math.inf
    assert torch.equal(way(spoilt, count=4), way(zero, count=4))
