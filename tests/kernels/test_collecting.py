"""Kernels of passes whose tokens collect others: torch and Triton against plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from drawn import DEVICE, DTYPES, close, coarse, few, integers, normal, shapes
from hypothesis import example, given
from hypothesis import strategies as st

from foveate.kernels.anchor_joining import join_anchors, join_anchors_torch
from foveate.kernels.anchor_joining_triton import join_anchors_triton
from foveate.kernels.anchored_mean import anchored_mean, anchored_mean_torch
from foveate.kernels.anchored_mean_triton import anchored_mean_triton
from foveate.kernels.mixing import mix_tokens, mix_tokens_torch
from foveate.kernels.mixing_triton import mix_tokens_triton
from foveate.kernels.neighbour_weights import neighbour_weights, neighbour_weights_torch
from foveate.kernels.neighbour_weights_triton import neighbour_weights_triton
from foveate.kernels.strided_choice import strided_choice, strided_choice_torch
from foveate.kernels.strided_choice_triton import strided_choice_triton

CHOICES = (strided_choice, strided_choice_torch, strided_choice_triton)
JOININGS = (join_anchors, join_anchors_torch, join_anchors_triton)
MEANS = (anchored_mean, anchored_mean_torch, anchored_mean_triton)
WEIGHTS = (neighbour_weights, neighbour_weights_torch, neighbour_weights_triton)
MIXES = (mix_tokens, mix_tokens_torch, mix_tokens_triton)


def value(score: float) -> float:
    return -math.inf if math.isnan(score) else score


@few
@given(shapes(batch=2, tokens=40), st.integers(0, 10), st.booleans(), st.booleans())
@example({"batch": 1, "tokens": 1, "seed": 0}, 0, False, False)
def test_the_best_and_a_stride_over_the_rest_are_chosen(
    shape: dict[str, int], best: int, whole: bool, last: bool
) -> None:
    tokens = shape["tokens"] + 1
    scores, best = coarse(shape["batch"], tokens, seed=shape["seed"]), min(best, tokens - 1)
    rest = tokens - best
    strided = 1 + shape["seed"] % rest
    last = last and strided < rest
    step = (rest // strided, 1) if whole else (rest, strided)
    for row, given_scores in enumerate(scores.tolist()):
        ranked = sorted(range(tokens), key=lambda t, s=given_scores: (-value(s[t]), t))
        left = sorted(ranked[best:])
        marked = [left[i * step[0] // step[1]] for i in range(strided)]
        kept = sorted({*ranked[:best], *marked})
        final = max(set(range(tokens)) - set(kept), default=-1)
        kept = sorted([*kept, final]) if last else kept
        place = [kept.index(t) if t in kept else kept.index(final) if last else -1 for t in range(tokens)]
        for way in CHOICES:
            found = way(scores, best=best, strided=strided, step=step, last=last)
            assert [part[row].tolist() for part in found] == [kept, [final] if last else marked, place]


@few
@given(shapes(batch=2, tokens=40, width=40), st.integers(1, 20), DTYPES)
@example({"batch": 1, "tokens": 1, "width": 1, "seed": 0}, 1, torch.float32)
def test_what_does_not_go_on_joins_its_nearest_anchor(shape: dict[str, int], count: int, dtype: torch.dtype) -> None:
    batch, tokens, seed = shape["batch"], shape["tokens"], shape["seed"]
    features = normal(batch, tokens, shape["width"] + 1, seed=seed, dtype=dtype)
    scores = normal(batch, tokens, seed=seed + 1)
    count = min(count, tokens)
    index, _, place = strided_choice(scores, best=count, strided=0)
    anchors = index[:, :: 1 + seed % 3]
    exact = features.cpu().double().numpy()
    unit = exact / np.linalg.norm(exact, axis=-1, keepdims=True)
    for way in JOININGS:
        found = way(features, anchors, place).tolist()
        for row in range(batch):
            kept, goals = index[row].tolist(), anchors[row].tolist()
            nearest = [max(goals, key=lambda a, t=t, u=unit[row]: u[t] @ u[a]) for t in range(tokens)]
            assert found[row] == [kept.index(t if t in kept else nearest[t]) for t in range(tokens)]


@pytest.mark.parametrize("way", JOININGS)
def test_of_equal_anchors_the_first_is_joined_and_nan_joins_it_too(way) -> None:
    features = torch.ones(1, 5, 3, device=DEVICE)
    features[0, 4, 0] = math.nan
    place = torch.tensor([[0, -1, 1, -1, -1]], device=DEVICE)
    assert way(features, torch.tensor([[2, 0]], device=DEVICE), place).tolist() == [[0, 1, 1, 1, 1]]


@few
@given(shapes(batch=2, tokens=50, groups=12, width=40), st.booleans(), DTYPES)
@example({"batch": 1, "tokens": 1, "groups": 1, "width": 1, "seed": 0}, True, torch.float32)
def test_representatives_collect_their_groups(shape: dict[str, int], halving: bool, dtype: torch.dtype) -> None:
    batch, tokens, seed = shape["batch"], shape["tokens"], shape["seed"]
    groups = min(shape["groups"], tokens)
    features = normal(batch, tokens, shape["width"], seed=seed, dtype=dtype)
    index = strided_choice(normal(batch, tokens, seed=seed), best=groups, strided=0)[0]
    places = torch.arange(groups, device=DEVICE).expand_as(index)
    assign = integers(batch, tokens, low=-1, below=groups, seed=seed).scatter(1, index, places)
    expected = np.empty((batch, groups, shape["width"]))
    exact = features.cpu().double().numpy()
    for row in range(batch):
        for group, token in enumerate(index[row].tolist()):
            others = [exact[row, t] for t in range(tokens) if assign[row, t] == group and t != token]
            standing = exact[row, token]
            if halving:
                for other in others:
                    standing = (standing + other) / 2
            elif others:
                standing = standing + np.mean(others, axis=0)
            expected[row, group] = standing
    for way in MEANS:
        found = way(features, index, assign, halving=halving)
        assert found.dtype == dtype
        close(found, expected, dtype=dtype)


@few
@given(shapes(batch=2, tokens=36, width=40), st.integers(1, 9), DTYPES)
@example({"batch": 1, "tokens": 1, "width": 1, "seed": 0}, 5, torch.float32)
def test_neighbours_count_their_scores(shape: dict[str, int], neighbours: int, dtype: torch.dtype) -> None:
    batch, tokens, seed = shape["batch"], shape["tokens"] + 1, shape["seed"]
    keys = normal(batch, tokens, shape["width"] + 2, seed=seed, dtype=dtype)
    scores = normal(batch, tokens, seed=seed + 1).abs()
    best = seed % tokens
    index, last, assign = strided_choice(scores, best=best, strided=0, last=True)
    exact = keys.cpu().double().numpy()
    unit = exact / np.linalg.norm(exact, axis=-1, keepdims=True)
    expected = np.zeros((batch, best + 1, tokens))
    for row in range(batch):
        score = scores[row].cpu().numpy()
        for place, token in enumerate(index[row].tolist()):
            others = sorted(set(range(tokens)) - {token}, key=lambda t, u=unit[row], own=token: -(u[t] @ u[own]))
            near, own = others[:neighbours], 1.0
            if token == last[row, 0]:
                near, own = [t for t in range(tokens) if assign[row, t] == place], score[token]
            expected[row, place, near] = score[near]
            expected[row, place, token] = own
    for way in WEIGHTS:
        close(way(keys, scores, index, last, assign, neighbours=neighbours), expected)


@few
@given(shapes(batch=2, groups=40, tokens=40, width=80), DTYPES)
@example({"batch": 1, "groups": 1, "tokens": 1, "width": 1, "seed": 0}, torch.float32)
def test_mixed_tokens_are_weighted_sums(shape: dict[str, int], dtype: torch.dtype) -> None:
    batch, tokens, seed = shape["batch"], shape["tokens"], shape["seed"]
    weight = normal(batch, shape["groups"], tokens, seed=seed) / tokens
    features = normal(batch, tokens, shape["width"], seed=seed + 1, dtype=dtype)
    expected = np.einsum("bkn,bnd->bkd", weight.cpu().double().numpy(), features.cpu().double().numpy())
    for way in MIXES:
        found = way(weight, features)
        assert found.dtype == dtype
        close(found, expected, dtype=dtype)
