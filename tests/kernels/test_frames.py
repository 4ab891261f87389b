"""Change between frames and choices by quota: torch and Triton against plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from drawn import DEVICE, DTYPES, few, normal, shapes
from hypothesis import example, given
from hypothesis import strategies as st

from foveate.kernels.frame_change import frame_change, frame_change_torch
from foveate.kernels.frame_change_triton import frame_change_triton
from foveate.kernels.quota_top_k import quota_top_k, quota_top_k_torch
from foveate.kernels.quota_top_k_triton import quota_top_k_triton

CHANGES = (frame_change, frame_change_torch, frame_change_triton)
CHOICES = (quota_top_k, quota_top_k_torch, quota_top_k_triton)


def whole_numbers(values: list[int]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.int64, device=DEVICE)


def cosines(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(left, axis=-1) * np.linalg.norm(right, axis=-1)
    return (left * right).sum(axis=-1) / lengths


@few
@given(shapes(batch=2, tokens=14, width=40), st.integers(1, 6), DTYPES)
@example({"batch": 1, "tokens": 1, "width": 1, "seed": 0}, 1, torch.float32)
def test_frames_are_compared_as_told(shape: dict[str, int], frames: int, dtype: torch.dtype) -> None:
    positions, draws = shape["tokens"], np.random.default_rng(shape["seed"])
    clip = normal(shape["batch"], frames * positions, shape["width"] + 1, seed=shape["seed"], dtype=dtype)
    earlier = [int(draws.integers(-2, frames)) for _ in range(frames)]
    whole = draws.normal(size=(2, positions)).astype(np.float32)
    exact = clip.cpu().double().numpy().reshape(shape["batch"], frames, positions, -1)
    expected = np.empty(exact.shape[:3])
    for frame, other in enumerate(earlier):
        expected[:, frame] = whole[-1 - other] if other < 0 else -cosines(exact[:, frame], exact[:, other])
    table = torch.from_numpy(whole.ravel()).to(DEVICE)
    for way in CHANGES:
        found = way(clip, whole_numbers(earlier), table, frames=frames, positions=positions)
        np.testing.assert_allclose(found.cpu().numpy(), expected.reshape(len(clip), -1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("way", CHANGES)
def test_nan_stays_in_its_own_comparisons(way) -> None:
    clip = normal(1, 6, 8, seed=0)
    clip[0, 3, 1] = math.nan  # frame 1, place 1
    found = way(clip, whole_numbers([-1, 0, 1]), torch.zeros(2, device=DEVICE), frames=3, positions=2)
    assert found.isnan()[0].tolist() == [False, False, False, True, False, True]


@few
@given(shapes(batch=3, tokens=30, width=1), st.integers(1, 6), st.sampled_from([1, 3, 1000]))
def test_each_frame_keeps_its_quota_of_the_best(shape: dict[str, int], frames: int, levels: int) -> None:
    positions, draws = shape["tokens"], np.random.default_rng(shape["seed"])
    scores = draws.integers(0, levels, size=(shape["batch"], frames * positions)).astype(np.float32)
    scores[draws.random(scores.shape) < 0.1] = math.nan
    quotas = [int(quota) for quota in draws.integers(0, positions + 1, size=frames)]
    quotas[0] = max(1, quotas[0])
    expected = []
    for row in np.where(np.isnan(scores), -np.inf, scores).reshape(-1, frames, positions):
        ranked = [
            sorted(range(positions), key=lambda place, row=row, f=f: (-row[f, place], place)) for f in range(frames)
        ]
        kept = [sorted(order[:quota]) for order, quota in zip(ranked, quotas, strict=True)]
        expected.append([frame * positions + place for frame, places in enumerate(kept) for place in places])
    starts = [sum(quotas[:frame]) for frame in range(frames)]
    given_scores, counts = torch.from_numpy(scores).to(DEVICE), (whole_numbers(quotas), whole_numbers(starts))
    strided = given_scores.T.contiguous().T
    for way in CHOICES:
        for some in (given_scores, strided):
            assert way(some, *counts, count=sum(quotas), frames=frames).tolist() == expected
