"""Top-k, gathering at known places and token norms: torch against plain Python, Triton against torch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from drawn import DEVICE, DTYPES, close, coarse, few, integers, normal, same, shapes
from hypothesis import example, given

from foveate.kernels.compaction_triton import compact_top_k_triton
from foveate.kernels.gathering import compact_at, compact_at_torch
from foveate.kernels.gathering_triton import compact_at_triton
from foveate.kernels.token_norm import token_norm, token_norm_torch
from foveate.kernels.token_norm_triton import token_norm_triton
from foveate.kernels.top_k import top_k, top_k_torch
from foveate.kernels.top_k_triton import top_k_triton

rows = shapes(batch=3, tokens=70, width=40)
ONE = dict.fromkeys(("batch", "tokens", "width"), 1) | {"seed": 0}


def kept_by_hand(scores: list[float], count: int) -> list[int]:
    value = [-math.inf if math.isnan(score) else score for score in scores]
    return sorted(sorted(range(len(value)), key=lambda i: (-value[i], i))[:count])


@given(rows)
@example(ONE)
def test_the_highest_are_found_in_order(shape: dict[str, int]) -> None:
    scores = coarse(shape["batch"], shape["tokens"], seed=shape["seed"])
    count = shape["seed"] % (shape["tokens"] + 1)
    assert top_k(scores.cpu(), count=count).tolist() == [kept_by_hand(row, count) for row in scores.tolist()]


@few
@given(rows, DTYPES)
@example(ONE, torch.float32)
def test_triton_finds_the_same(shape: dict[str, int], dtype: torch.dtype) -> None:
    scores = coarse(shape["batch"], shape["tokens"], seed=shape["seed"])
    if dtype == torch.bfloat16:  # whose subnormal numbers the interpreter takes for zeros
        scores = scores.where(scores != 1e-40, 0.25)
    scores = scores.to(dtype)
    count = 1 + shape["seed"] % shape["tokens"]
    same(top_k_triton(scores, count=count), top_k_torch(scores, count=count))


def test_scores_of_heads_keep_their_shape() -> None:
    scores = normal(2, 3, 9, seed=1).cpu()
    assert torch.equal(top_k(scores, count=4), top_k(scores.reshape(6, 9), count=4).reshape(2, 3, 4))


@pytest.mark.parametrize("tile", [16, 32])
def test_ties_are_shared_out_over_tiles_as_over_the_row(tile: int) -> None:
    """Three tiles of one row in which equal scores meet the threshold in each tile."""
    scores = torch.tensor([0.5, 1.0, 0.5] * tile, device=DEVICE)[None]
    hidden = normal(1, 3 * tile, 5, seed=2)
    for count in (1, tile, tile + 1, tile + tile // 2 + 1, 2 * tile, 3 * tile):
        kept = compact_top_k_triton(scores, hidden, count=count)
        assert kept.index[0].tolist() == kept_by_hand(scores[0].tolist(), count)
        same(kept.hidden[0], hidden[0, kept.index[0]])


@few
@given(rows)
@example(ONE)
def test_known_places_are_gathered_with_all_that_is_theirs(shape: dict[str, int]) -> None:
    batch, tokens, width, seed = shape.values()
    hidden = normal(batch, tokens, width, seed=seed, dtype=torch.bfloat16)
    index = integers(batch, 1 + seed % 9, below=tokens, seed=seed).sort(dim=1).values
    positions = integers(2, batch, tokens, below=99, seed=seed) if seed % 2 else None
    sizes = normal(batch, tokens, seed=seed) if seed % 3 else None
    expected = [[hidden[b, i] for i in row] for b, row in enumerate(index.tolist())]
    for way in (compact_at, compact_at_torch, compact_at_triton):
        kept = way(index, hidden, positions=positions, sizes=sizes)
        same(kept.hidden, torch.stack([torch.stack(row) for row in expected]))
        for name, given_values in (("positions", positions), ("sizes", sizes)):
            found = getattr(kept, name)
            assert (found is None) == (given_values is None)
            if given_values is not None:
                same(found, torch.stack([given_values[..., b, row] for b, row in enumerate(index)], dim=-2))


def test_nothing_is_gathered_from_no_places() -> None:
    assert compact_at(torch.zeros(2, 0, dtype=torch.int64), torch.ones(2, 5, 3)).hidden.shape == (2, 0, 3)


@few
@given(rows, DTYPES)
@example(ONE, torch.float32)
def test_norms_are_lengths(shape: dict[str, int], dtype: torch.dtype) -> None:
    features = normal(shape["batch"], shape["tokens"], shape["width"], seed=shape["seed"], dtype=dtype)
    expected = np.sqrt((features.cpu().double().numpy() ** 2).sum(-1))
    for way in (token_norm, token_norm_torch, token_norm_triton):
        close(way(features), expected)
        close(way(features, negated=True), -expected)


@pytest.mark.parametrize("way", [token_norm_torch, token_norm_triton])
def test_nan_and_infinity_stay_in_their_token(way) -> None:
    features = torch.ones(1, 3, 4, device=DEVICE)
    features[0, 0, 1], features[0, 2, 3] = math.nan, math.inf
    found = way(features)[0].tolist()
    assert math.isnan(found[0])
    assert found[1:] == [2.0, math.inf]
