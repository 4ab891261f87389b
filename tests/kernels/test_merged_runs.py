"""Merging over time: torch and Triton against a plain loop over the clip."""

from __future__ import annotations

import math

import torch
from drawn import coarse, few, shapes
from hypothesis import example, given
from hypothesis import strategies as st

from foveate.kernels.merged_runs import merged_runs, merged_runs_torch
from foveate.kernels.merged_runs_triton import merged_runs_triton

WAYS = (merged_runs, merged_runs_torch, merged_runs_triton)


def lowest(score: float) -> float:
    return -math.inf if math.isnan(score) else score


def by_hand(change: list[float], scores: list[float], count: int, positions: int, threshold: float) -> list[list[int]]:
    """Let tokens join the frame before, the most alike first, then keep the best of the others."""
    tokens = len(change)
    alike = [-math.inf if t < positions else lowest(-change[t]) for t in range(tokens)]
    most = sorted(range(tokens), key=lambda t: (-alike[t], t))[: tokens - count]
    joins = {t for t in most if alike[t] >= threshold}
    score = [-math.inf if t in joins else lowest(scores[t]) for t in range(tokens)]
    kept = sorted(sorted(range(tokens), key=lambda t: (-score[t], t))[:count])

    def end(token: int) -> int:
        return end(token - positions) if token in joins else token

    return [kept, [kept.index(end(t)) if end(t) in kept else -1 for t in range(tokens)]]


@few
@given(shapes(batch=2, frames=6, positions=9), st.sampled_from([-1.0, 0.5, 1.0, 3.0]))
@example({"batch": 1, "frames": 1, "positions": 1, "seed": 0}, 0.5)
def test_what_stays_the_same_joins_and_the_best_of_the_rest_stay(shape: dict[str, int], threshold: float) -> None:
    batch, frames, positions, seed = shape["batch"], shape["frames"], shape["positions"], shape["seed"]
    tokens = frames * positions
    change, scores = coarse(batch, tokens, seed=seed), coarse(batch, tokens, seed=seed + 1)
    count = 1 + seed % tokens
    for way in WAYS:
        index, group = way(change, scores, count=count, frames=frames, threshold=threshold)
        assert index.dtype == group.dtype == torch.int64
        for row in range(batch):
            told = change[row].tolist(), scores[row].tolist()
            assert [index[row].tolist(), group[row].tolist()] == by_hand(*told, count, positions, threshold)
