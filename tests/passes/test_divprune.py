"""DivPrune against algorithm 1 of arXiv:2503.02175, written as plain loops over the full distance matrix."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from foveate.ir.layout import Layout
from foveate.kernels.max_min import farthest_first_numpy, farthest_first_torch, max_min
from foveate.passes import Tokens, create


def algorithm_1(features: np.ndarray, count: int) -> list[int]:
    """Indices of one medium's (N, D) features in the order of selection."""
    total = len(features)
    distance = np.empty((total, total))
    for i in range(total):
        for j in range(total):
            a, b = features[i], features[j]
            distance[i, j] = 1.0 - a @ b / (np.linalg.norm(a) * np.linalg.norm(b))
    chosen: list[int] = []
    remaining = list(range(total))
    while len(chosen) < count:
        best, farthest = -1, -np.inf
        for i in remaining:
            others = chosen if chosen else [j for j in range(total) if j != i]
            nearest = min((distance[i, j] for j in others), default=0.0)
            if nearest > farthest:
                best, farthest = i, nearest
        chosen.append(best)
        remaining.remove(best)
    return chosen


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("total", "width"), [(1, 4), (2, 8), (13, 3), (36, 16), (64, 48)])
def test_it_equals_algorithm_1(total: int, width: int, dtype: torch.dtype) -> None:
    features = torch.randn(2, total, width, generator=torch.Generator().manual_seed(total)).to(dtype)
    for count in sorted({1, max(1, total // 4), max(1, total // 2), total}):
        expected = [algorithm_1(each, count) for each in features.double().numpy()]
        assert max_min(features, count).tolist() == expected
        tokens = Tokens(features, Layout(total), {})
        found = create("divprune").compress(tokens, Layout(count))
        assert found.index.tolist() == [sorted(each) for each in expected]
        assert found.assign is None


def test_length_does_not_count_and_ties_choose_the_earlier_token() -> None:
    a, b, c = torch.eye(3)
    features = torch.stack([a, 5 * a, b, 2 * b, 7 * c])[None]
    # c alone has no twin; then a and b are equally far, then only twins remain.
    assert max_min(features, 5).tolist() == [[4, 0, 2, 1, 3]]


def test_each_token_is_at_least_as_far_as_the_ones_chosen_after_it() -> None:
    features = torch.randn(1, 40, 12, generator=torch.Generator().manual_seed(0))
    unit = torch.nn.functional.normalize(features[0].double(), dim=-1)
    order = max_min(features, 40)[0]
    distance = (1 - unit @ unit.T)[order][:, order]
    radius = [distance[i, :i].min().item() for i in range(1, 40)]
    assert all(early >= late - 1e-6 for early, late in pairwise(radius))


def test_the_host_and_the_device_take_the_same_steps():
    distance = 1 - torch.rand(3, 60, 60, generator=torch.Generator().manual_seed(3))
    distance.diagonal(dim1=-2, dim2=-1).fill_(float("-inf"))
    start = torch.tensor([0, 7, 59])
    on_device = farthest_first_torch(distance, start, count=25)
    assert torch.equal(on_device, farthest_first_numpy(distance, start, count=25))
