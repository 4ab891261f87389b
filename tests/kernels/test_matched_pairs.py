"""One round of bipartite matching: torch and Triton against a plain loop, and the groups that ToMe forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from drawn import DEVICE, DTYPES, few, normal, shapes
from hypothesis import example, given
from hypothesis import strategies as st

from foveate.ir.layout import Layout
from foveate.kernels.matched_pairs import matched_pairs, matched_pairs_torch
from foveate.kernels.matched_pairs_triton import matched_pairs_triton
from foveate.passes import Tokens, create

WAYS = (matched_pairs, matched_pairs_torch, matched_pairs_triton)


def by_hand(keys: np.ndarray, count: int, parity: int) -> tuple[list[int], list[int]]:
    """Let every token of the first set ask all of the second, then join the best pairs one by one."""
    unit = keys / np.linalg.norm(keys, axis=-1, keepdims=True)
    second = range(1 - parity, len(keys), 2)
    best = {
        t: max(second, key=lambda other, t=t: (float(unit[t] @ unit[other]), -other))
        for t in range(parity, len(keys), 2)
    }
    ranked = sorted(best, key=lambda t: (-float(unit[t] @ unit[best[t]]), t))
    joined = set(ranked[: len(keys) - count])
    index = [token for token in range(len(keys)) if token not in joined]
    return index, [index.index(best[token] if token in joined else token) for token in range(len(keys))]


@few
@given(shapes(batch=2, tokens=36, width=30), st.integers(0, 1), DTYPES)
@example({"batch": 1, "tokens": 1, "width": 1, "seed": 0}, 0, torch.float32)
def test_the_best_pairs_join(shape: dict[str, int], parity: int, dtype: torch.dtype) -> None:
    tokens = shape["tokens"] + 1
    keys = normal(shape["batch"], tokens, shape["width"] + 2, seed=shape["seed"], dtype=dtype)
    sources = len(range(parity, tokens, 2))
    count = tokens - 1 - shape["seed"] % sources
    expected = [by_hand(row, count, parity) for row in keys.cpu().double().numpy()]
    for way in WAYS:
        index, group = way(keys, count=count, parity=parity)
        assert list(zip(index.tolist(), group.tolist(), strict=True)) == expected


@pytest.mark.parametrize("way", WAYS)
def test_of_equal_pairs_the_earlier_join_and_nan_last(way) -> None:
    keys = torch.ones(1, 6, 4, device=DEVICE)
    assert [part.tolist() for part in way(keys, count=4)] == [[[1, 3, 4, 5]], [[0, 0, 0, 1, 2, 3]]]
    keys[0, 0, 1] = math.nan
    assert [part.tolist() for part in way(keys, count=4)] == [[[0, 1, 3, 5]], [[0, 1, 1, 2, 1, 3]]]


@pytest.mark.parametrize("prefix", [0, 1])
def test_they_are_the_groups_of_tome(prefix: int) -> None:
    layout, method = Layout(31, prefix=prefix), create("tome")
    keys = normal(3, 31, 2, 5, seed=7)
    signals = dict.fromkeys(method.needs(layout), keys)
    target = method.count(layout, 0.7)
    found = method.compress(Tokens(normal(3, 31, 8, seed=1), layout, signals), target)
    for way in WAYS:
        index, group = way(keys.mean(dim=2), count=target.count, parity=prefix)
        assert torch.equal(index, found.index)
        assert torch.equal(group, found.assign)
