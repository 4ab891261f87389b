"""Top-k and cache compaction: torch against plain Python, Triton against torch."""

from __future__ import annotations

import math

import pytest
import torch
from drawn import DEVICE, coarse, few, integers, normal, same, shapes
from hypothesis import example, given

from foveate.kernels.cache_compaction import compact_cache, compact_cache_torch
from foveate.kernels.cache_compaction_triton import compact_cache_triton
from foveate.kernels.compaction import compact_top_k, compact_top_k_torch
from foveate.kernels.compaction_triton import compact_top_k_triton

rows = shapes(batch=3, tokens=40, width=9, axes=4)
caches = shapes(batch=2, heads=5, tokens=20, width=70)


def kept_by_hand(scores: list[float], count: int) -> list[int]:
    value = [-math.inf if math.isnan(score) else score for score in scores]
    return sorted(sorted(range(len(value)), key=lambda i: (-value[i], i))[:count])


@given(rows)
def test_the_best_scores_are_kept_in_order_with_all_that_is_theirs(shape: dict[str, int]) -> None:
    batch, tokens, seed = shape["batch"], shape["tokens"], shape["seed"]
    scores, hidden = coarse(batch, tokens, seed=seed), normal(batch, tokens, shape["width"], seed=seed)
    positions, sizes = integers(shape["axes"], batch, tokens, below=99, seed=seed), normal(batch, tokens, seed=seed)
    count = seed % (tokens + 1)
    kept = compact_top_k(scores.cpu(), hidden.cpu(), count=count, positions=positions.cpu(), sizes=sizes.cpu())
    assert kept.positions is not None
    assert kept.sizes is not None
    for row, of_row in enumerate(scores.tolist()):
        index = kept_by_hand(of_row, count)
        assert kept.index[row].tolist() == index
        same(kept.hidden[row], hidden[row, index])
        same(kept.positions[:, row], positions[:, row, index])
        same(kept.sizes[row], sizes[row, index])


@few
@given(rows)
@example({"batch": 1, "tokens": 1, "width": 1, "axes": 1, "seed": 0})
def test_triton_keeps_the_same(shape: dict[str, int]) -> None:
    batch, tokens, seed = shape["batch"], shape["tokens"], shape["seed"]
    inputs = coarse(batch, tokens, seed=seed), normal(batch, tokens, shape["width"], seed=seed, dtype=torch.bfloat16)
    positions = integers(shape["axes"], batch, tokens, below=99, seed=seed) if seed % 3 else None
    sizes = normal(batch, tokens, seed=seed) if seed % 2 else None
    count = 1 + seed % tokens
    found = compact_top_k_triton(*inputs, count=count, positions=positions, sizes=sizes)
    expected = compact_top_k_torch(*inputs, count=count, positions=positions, sizes=sizes)
    for name in ("index", "hidden", "positions", "sizes"):
        one, other = getattr(found, name), getattr(expected, name)
        assert (one is None) == (other is None)
        if one is not None:
            same(one, other)


@pytest.mark.parametrize("value", [0.0, -3.0, math.nan, math.inf])
def test_of_equal_scores_the_earlier_are_kept(value: float) -> None:
    scores, hidden = torch.full((2, 33), value, device=DEVICE), torch.ones(2, 33, 4, device=DEVICE)
    assert compact_top_k_triton(scores, hidden, count=5).index.tolist() == [[0, 1, 2, 3, 4]] * 2


def test_one_position_a_token_and_none_kept() -> None:
    scores, hidden = torch.rand(2, 6), torch.rand(2, 6, 3)
    positions = torch.arange(12).reshape(2, 6)
    kept = compact_top_k(scores, hidden, count=2, positions=positions)
    assert kept.positions is not None
    assert torch.equal(kept.positions, positions.gather(1, kept.index))
    assert compact_top_k(scores, hidden, count=0).hidden.shape == (2, 0, 3)


@few
@given(caches)
@example({"batch": 1, "heads": 1, "tokens": 1, "width": 1, "seed": 0})
@example({"batch": 1, "heads": 2, "tokens": 9, "width": 256, "seed": 1})
@example({"batch": 1, "heads": 64, "tokens": 3, "width": 32, "seed": 2})
def test_caches_keep_the_entries_of_each_head(shape: dict[str, int]) -> None:
    batch, heads, tokens, width, seed = shape.values()
    key = normal(batch, tokens, heads, width, seed=seed, dtype=torch.bfloat16).transpose(1, 2)
    value = normal(batch, heads, tokens, width // 2 + 1, seed=seed)
    count = 1 + seed % tokens
    index = integers(batch, heads, count, below=tokens, seed=seed)
    index = index if seed % 2 else index[:, 0]
    for way in (compact_cache, compact_cache_torch, compact_cache_triton):
        found = way(key, value, index)
        for b in range(batch):
            for h in range(heads):
                chosen = index[b] if index.ndim == 2 else index[b, h]
                same(found[0][b, h], key[b, h, chosen])
                same(found[1][b, h], value[b, h, chosen])
