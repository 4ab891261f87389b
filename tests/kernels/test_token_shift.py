"""How far tokens moved: torch and Triton against numpy, by every distance."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from drawn import DEVICE, DTYPES, few, normal, shapes
from hypothesis import example, given

from foveate.kernels.token_shift import token_shift, token_shift_torch
from foveate.kernels.token_shift_triton import token_shift_triton

WAYS = (token_shift, token_shift_torch, token_shift_triton)


def by_hand(after: np.ndarray, before: np.ndarray, distance: str) -> np.ndarray:
    if distance == "cosine":
        lengths = np.linalg.norm(after, axis=-1) * np.linalg.norm(before, axis=-1)
        return 1 - (after * before).sum(axis=-1) / lengths
    return np.linalg.norm(after - before, ord=1 if distance == "l1" else 2, axis=-1)


@few
@pytest.mark.parametrize("distance", ["l2", "l1", "cosine"])
@given(shape=shapes(batch=2, tokens=20, width=70), dtype=DTYPES)
@example(shape={"batch": 1, "tokens": 1, "width": 1, "seed": 0}, dtype=torch.float32)
def test_shifts_are_those_of_numpy(distance: str, shape: dict[str, int], dtype: torch.dtype) -> None:
    sizes = shape["batch"], shape["tokens"], shape["width"]
    after, before = (normal(*sizes, seed=shape["seed"] + part, dtype=dtype) for part in (0, 1))
    expected = by_hand(after.cpu().double().numpy(), before.cpu().double().numpy(), distance)
    for way in WAYS:
        found = way(after, before, distance=distance)
        assert found.dtype == torch.float32
        np.testing.assert_allclose(found.cpu().numpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("way", WAYS)
def test_strides_equal_states_and_nan(way) -> None:
    wide = normal(2, 9, 24, seed=3)
    turned = wide.transpose(1, 2).contiguous().transpose(1, 2)
    assert torch.equal(way(turned, wide), torch.zeros(2, 9, device=DEVICE))
    spoilt = wide.clone()
    spoilt[0, 4, 2] = math.nan
    assert way(spoilt, wide).isnan().nonzero().tolist() == [[0, 4]]


def test_it_is_the_score_of_representation_shift() -> None:
    from foveate.ir.layout import Layout
    from foveate.passes import Tokens, create

    after, before = normal(2, 12, 8, seed=1), normal(2, 12, 8, seed=2)
    for distance in ("l2", "l1", "cosine"):
        method = create("representation-shift", {"distance": distance})
        signals = dict.fromkeys(method.needs(Layout(12)), before)
        scores = method.score(Tokens(after, Layout(12), signals))
        torch.testing.assert_close(token_shift_triton(after, before, distance=distance), scores, rtol=1e-5, atol=1e-6)
