"""The primitives that passes share, against plain Python."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from foveate.passes import Compression
from foveate.passes.primitives.merge import merged
from foveate.passes.primitives.select import evenly_spaced, top_k

# Few different values, so that ties, NaN and infinities meet often.
scores = st.lists(st.sampled_from([0.0, 1.0, -1.0, 2.5, math.nan, math.inf, -math.inf]), min_size=1, max_size=12)


@given(scores, st.data())
def test_top_k_keeps_the_highest_then_the_earliest(row: list[float], data: st.DataObject) -> None:
    count = data.draw(st.integers(0, len(row)))
    value = [-math.inf if math.isnan(score) else score for score in row]
    ranked = sorted(range(len(row)), key=lambda i: (-value[i], i))
    found = top_k(torch.tensor([row, row]), count)
    assert found.dtype == torch.int64
    assert found.tolist() == [sorted(ranked[:count])] * 2


def test_nan_is_kept_last() -> None:
    assert top_k(torch.tensor([[math.nan, 1.0, math.nan, -1e30]]), 2).tolist() == [[1, 3]]
    assert top_k(torch.tensor([[math.nan, 1.0, math.nan, -1e30]]), 3).tolist() == [[0, 1, 3]]


@given(st.integers(1, 300), st.integers(1, 300))
def test_evenly_spaced_positions_are_centres_of_equal_shares(total: int, count: int) -> None:
    count = min(total, count)
    positions = evenly_spaced(total, count)
    assert len(set(positions)) == count
    assert all(abs(p + 0.5 - (i + 0.5) * total / count) <= 0.5 for i, p in enumerate(positions))


def means_by_hand(features: np.ndarray, assign: np.ndarray, weight: np.ndarray, groups: int) -> np.ndarray:
    rows = []
    for row in range(len(features)):
        for group in range(groups):
            members = np.flatnonzero(assign[row] == group)
            rows.append((features[row, members] * weight[row, members, None]).sum(0) / weight[row, members].sum())
    return np.array(rows).reshape(len(features), groups, -1)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 1e-2)])
def test_merged_groups_are_weighted_means(dtype: torch.dtype, tolerance: float, weighted: bool) -> None:
    draws = torch.Generator().manual_seed(0)
    rows, total, groups = 3, 20, 5
    features = torch.randn(rows, total, 7, generator=draws).to(dtype)
    assign = torch.randint(-1, groups, (rows, total), generator=draws)
    assign[:, :groups] = torch.arange(groups)
    weight = torch.rand(rows, total, generator=draws) + 0.1 if weighted else None
    index = torch.arange(groups).expand(rows, -1)
    found = merged(features, Compression(index, assign, weight))
    plain = np.ones((rows, total)) if weight is None else weight.double().numpy()
    expected = means_by_hand(features.double().numpy(), assign.numpy(), plain, groups)
    assert found.dtype == dtype
    np.testing.assert_allclose(found.double().numpy(), expected, rtol=tolerance, atol=tolerance)


def test_without_groups_rows_are_gathered_bit_for_bit() -> None:
    features = torch.randn(2, 6, 3)
    index = torch.tensor([[0, 4], [2, 5]])
    expected = torch.stack([features[0, [0, 4]], features[1, [2, 5]]])
    assert torch.equal(merged(features, Compression(index)), expected)
