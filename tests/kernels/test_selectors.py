"""Greedy selectors: torch and numpy against loops over full matrices, Triton against torch."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from drawn import DEVICE, few, normal, same, shapes
from hypothesis import example, given

from foveate.kernels.dpp import dpp_greedy_numpy, dpp_greedy_torch
from foveate.kernels.dpp_triton import dpp_greedy_triton
from foveate.kernels.max_min import cosine_distances, farthest_first_numpy, farthest_first_torch, max_min
from foveate.kernels.max_min_triton import farthest_first_triton
from foveate.kernels.pivot import least_similar, least_similar_torch
from foveate.kernels.pivot_triton import least_similar_triton

sets = shapes(batch=3, tokens=40, width=24)
ONE = {"batch": 1, "tokens": 1, "width": 1, "seed": 0}


def cosines(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(left, axis=-1)[:, None] * np.linalg.norm(right, axis=-1)[None]
    return left @ right.T / norms


def farthest_by_hand(features: np.ndarray, count: int) -> list[int]:
    """Look at all pairs again in every step."""
    distance = 1 - cosines(features, features)
    np.fill_diagonal(distance, np.inf)
    order = [int(distance.min(axis=1).argmax())]
    while len(order) < count:
        rest = [i for i in range(len(features)) if i not in order]
        order.append(rest[int(np.argmax([distance[i, order].min() for i in rest]))])
    return order


def dpp_by_hand(kernel: np.ndarray, count: int) -> list[int]:
    """Try every token in every step, by the determinant of the chosen submatrix."""
    order: list[int] = []
    while len(order) < count:
        rest = [i for i in range(len(kernel)) if i not in order]
        values = [np.linalg.slogdet(kernel[np.ix_([*order, i], [*order, i])])[1] for i in rest]
        order.append(rest[int(np.argmax(values))])
    return order


def turns_by_hand(features: np.ndarray, pivots: np.ndarray, count: int, taken: set[int]) -> list[int]:
    found: list[int] = []
    for turn, likeness in enumerate(cosines(pivots, features)):
        share = count // len(pivots) + (turn < count % len(pivots))
        rest = [i for i in range(len(features)) if i not in taken and i not in found]
        found += sorted(rest, key=lambda i: likeness[i])[:share]
    return sorted(found)


@given(sets)
@example(ONE)
def test_max_min_is_the_greedy_choice_over_all_pairs(shape: dict[str, int]) -> None:
    features = normal(shape["batch"], shape["tokens"], shape["width"] + 2, seed=shape["seed"])
    count = 1 + shape["seed"] % shape["tokens"]
    expected = [farthest_by_hand(row, count) for row in features.cpu().double().numpy()]
    assert max_min(features, count).tolist() == expected


@few
@given(sets)
@example(ONE)
def test_every_way_takes_the_same_steps(shape: dict[str, int]) -> None:
    distance = cosine_distances(normal(shape["batch"], shape["tokens"], shape["width"], seed=shape["seed"]))
    if shape["seed"] % 2:
        distance = distance.round(decimals=1)  # ties
    distance.diagonal(dim1=-2, dim2=-1).fill_(-math.inf)
    start = torch.full((shape["batch"],), shape["seed"] % shape["tokens"], device=DEVICE)
    count = 1 + shape["seed"] % shape["tokens"]
    expected = farthest_first_torch(distance, start, count=count)
    same(farthest_first_triton(distance, start, count=count), expected)
    same(farthest_first_numpy(distance.cpu(), start.cpu(), count=count), expected)


def test_equal_tokens_are_taken_in_order_and_nan_counts_as_zero() -> None:
    distance = torch.zeros(1, 7, 7, device=DEVICE)
    distance.diagonal(dim1=-2, dim2=-1).fill_(-math.inf)
    start = torch.zeros(1, dtype=torch.int64, device=DEVICE)
    assert farthest_first_triton(distance, start, count=5).tolist() == [[0, 1, 2, 3, 4]]
    features = torch.randn(1, 6, 4, device=DEVICE)
    zero, spoilt = features.clone(), features.clone()
    zero[0, 2], spoilt[0, 2, 1] = 0.0, math.nan
    assert torch.equal(max_min(spoilt, 6), max_min(zero, 6))


@given(sets)
@example(ONE)
def test_dpp_maximises_the_determinant_step_by_step(shape: dict[str, int]) -> None:
    tokens = min(shape["tokens"], 14)
    features = normal(1, tokens, tokens + 4, seed=shape["seed"])  # full rank: every determinant is well above zero
    kernel = features @ features.mT
    count = 1 + shape["seed"] % tokens
    expected = [dpp_by_hand(kernel[0].cpu().double().numpy(), count)]
    for way in (dpp_greedy_torch, dpp_greedy_numpy):
        assert way(kernel.cpu(), count).tolist() == expected


@few
@given(sets)
@example(ONE)
def test_every_way_chooses_the_same_dpp(shape: dict[str, int]) -> None:
    batch, tokens, width, seed = shape.values()
    features = normal(batch, tokens, width, seed=seed)
    kernel = features @ features.mT  # of low rank where there are more tokens than channels
    count = 1 + seed % tokens
    expected = dpp_greedy_torch(kernel, count)
    same(dpp_greedy_triton(kernel, count), expected)
    same(dpp_greedy_numpy(kernel.cpu(), count), expected)
    assert all(len(set(row)) == count for row in expected.tolist())


@pytest.mark.parametrize("way", [dpp_greedy_torch, dpp_greedy_numpy, dpp_greedy_triton])
def test_without_variance_the_dpp_goes_on_in_order(way: Callable[[torch.Tensor, int], torch.Tensor]) -> None:
    equal = torch.full((1, 6, 6), 3.0, device=DEVICE)
    assert way(equal, 4).tolist() == [[0, 1, 2, 3]]
    assert way(torch.zeros(1, 6, 6, device=DEVICE), 4).tolist() == [[0, 1, 2, 3]]
    kernel = torch.diag_embed(torch.tensor([[1.0, 4.0, 2.0, 3.0]], device=DEVICE))
    kernel[0, 1] = kernel[0, :, 1] = math.nan
    assert way(kernel, 4).tolist() == [[3, 2, 0, 1]]


@given(sets)
@example(ONE)
def test_pivots_take_the_least_similar_in_turn(shape: dict[str, int]) -> None:
    batch, tokens, width, seed = shape.values()
    features, pivots = (
        normal(batch, tokens, width + 2, seed=seed),
        normal(batch, 1 + seed % 5, width + 2, seed=seed + 1),
    )
    taken = torch.rand(batch, tokens, generator=torch.Generator().manual_seed(seed)) < 0.2
    taken[:, 0] = False
    count = 1 + seed % int((~taken).sum(1).min())
    found = least_similar(features.cpu(), pivots.cpu(), count=count, taken=taken)
    for row in range(batch):
        gone = set(taken[row].nonzero().flatten().tolist())
        arrays = (part[row].cpu().double().numpy() for part in (features, pivots))
        assert found[row].tolist() == turns_by_hand(*arrays, count, gone)


@few
@given(sets)
@example(ONE)
def test_triton_pivots_take_the_same(shape: dict[str, int]) -> None:
    batch, tokens, width, seed = shape.values()
    dtype = torch.bfloat16 if seed % 2 else torch.float32
    features = normal(batch, tokens, width, seed=seed, dtype=dtype)
    pivots = normal(batch, 1 + seed % 5, width, seed=seed + 1, dtype=dtype)
    taken = (torch.arange(tokens, device=DEVICE) % 5 == 4).expand(batch, tokens) if seed % 3 else None
    count = 1 + seed % (tokens - tokens // 5)
    expected = least_similar_torch(features, pivots, count=count, taken=taken)
    same(least_similar_triton(features, pivots, count=count, taken=taken), expected)


def test_equal_tokens_go_to_pivots_in_order_and_nan_last() -> None:
    features, pivots = torch.ones(1, 9, 4, device=DEVICE), torch.ones(1, 2, 4, device=DEVICE)
    features[0, 1, 2] = math.nan
    for way in (least_similar_torch, least_similar_triton):
        assert way(features, pivots, count=5).tolist() == [[0, 2, 3, 4, 5]]
        assert way(features, pivots, count=9).tolist() == [list(range(9))]
