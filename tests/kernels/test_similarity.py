"""Matching, merging, runs and density: torch against plain loops, Triton against torch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from drawn import DEVICE, DTYPES, close, few, integers, normal, same, shapes
from hypothesis import example, given

from foveate.kernels.best_match import best_match, best_match_torch
from foveate.kernels.best_match_triton import best_match_triton
from foveate.kernels.density_peaks import density_peaks, density_peaks_torch
from foveate.kernels.density_peaks_triton import density_peaks_triton
from foveate.kernels.nearest_anchor import nearest_anchor
from foveate.kernels.segmented_mean import segmented_mean, segmented_mean_torch
from foveate.kernels.segmented_mean_triton import segmented_mean_triton
from foveate.kernels.temporal_runs import temporal_runs, temporal_runs_torch
from foveate.kernels.temporal_runs_triton import temporal_runs_triton

pairs = shapes(batch=3, sources=40, targets=70, width=70)
groups = shapes(batch=3, tokens=40, groups=6, width=40)
clips = shapes(batch=2, frames=6, positions=9, width=20)
crowds = shapes(batch=2, tokens=40, neighbours=6, width=20)


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))


def array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().double().numpy()


@given(shapes(batch=2, sources=7, targets=9, width=9))
def test_each_source_finds_its_most_similar_target(shape: dict[str, int]) -> None:
    batch, sources, targets, width, seed = shape.values()
    source, target = normal(batch, sources, width + 2, seed=seed), normal(batch, targets, width + 2, seed=seed + 1)
    score, match = best_match(source, target)
    for b in range(batch):
        for s, token in enumerate(array(source[b])):
            likeness = [cosine(token, other) for other in array(target[b])]
            assert match[b, s] == np.argmax(likeness)
            assert score[b, s].item() == pytest.approx(max(likeness), abs=1e-5)


@few
@given(pairs, DTYPES)
@example({"batch": 1, "sources": 1, "targets": 1, "width": 1, "seed": 0}, torch.float32)
def test_triton_matches(shape: dict[str, int], dtype: torch.dtype) -> None:
    batch, sources, targets, width, seed = shape.values()
    source = normal(batch, sources, width + 2, seed=seed, dtype=dtype)
    target = normal(batch, targets, width + 2, seed=seed + 1, dtype=dtype)
    expected, found = best_match_torch(source, target), best_match_triton(source, target)
    close(found[0], expected[0])
    same(found[1], expected[1])


@pytest.mark.parametrize("way", [best_match_torch, best_match_triton])
def test_of_equal_targets_the_first_is_matched_and_nan_never(way) -> None:
    source, target = torch.ones(1, 3, 4, device=DEVICE), torch.ones(1, 70, 4, device=DEVICE)
    source[0, 2, 0] = target[0, 0, 1] = math.nan
    score, match = way(source, target)
    assert match.tolist() == [[1, 1, 0]]
    assert score.tolist() == [[1.0, 1.0, -math.inf]]


def test_anchors_keep_themselves_and_others_join_the_nearest() -> None:
    features = normal(2, 20, 6, seed=5)
    features[:, 7] = features[:, 3] * 2  # as similar to anchor 3 as to itself
    index = torch.tensor([[3, 7, 11], [0, 7, 19]], device=DEVICE)
    assign = nearest_anchor(features, index)
    for b in range(2):
        for token in range(20):
            likeness = [cosine(array(features[b, token]), array(features[b, anchor])) for anchor in index[b].tolist()]
            own = (index[b] == token).nonzero().flatten().tolist()
            assert assign[b, token] == (own[0] if own else int(np.argmax(np.round(likeness, 9))))


def means_by_hand(features: np.ndarray, assign: np.ndarray, weight: np.ndarray, count: int) -> np.ndarray:
    means = np.zeros((len(features), count, features.shape[-1]))
    for b, group in np.ndindex(means.shape[:2]):
        member = assign[b] == group
        if weight[b, member].sum():
            means[b, group] = (features[b, member] * weight[b, member, None]).sum(0) / weight[b, member].sum()
    return means


@few
@given(groups, DTYPES)
@example({"batch": 1, "tokens": 1, "groups": 3, "width": 1, "seed": 0}, torch.float32)
def test_groups_become_their_weighted_means(shape: dict[str, int], dtype: torch.dtype) -> None:
    batch, tokens, count, width, seed = shape.values()
    features = normal(batch, tokens, width, seed=seed, dtype=dtype)
    assign = integers(batch, tokens, low=-1, below=count, seed=seed)
    weight = normal(batch, tokens, seed=seed).abs() if seed % 2 else None
    plain = np.ones((batch, tokens)) if weight is None else array(weight)
    expected = means_by_hand(array(features), assign.cpu().numpy(), plain, count)
    total = np.stack([(plain * (assign.cpu().numpy() == group)).sum(1) for group in range(count)], axis=1)
    for way in (segmented_mean, segmented_mean_torch, segmented_mean_triton):
        means, totals = way(features, assign, groups=count, weight=weight)
        assert means.dtype == dtype
        close(means, expected, dtype=dtype)
        close(totals, total)


def test_nan_stays_in_its_channel_of_its_group() -> None:
    features, assign = torch.ones(1, 4, 3, device=DEVICE), torch.tensor([[0, 1, -1, 1]], device=DEVICE)
    features[0, 1, 2] = features[0, 2, 0] = math.nan
    for way in (segmented_mean_torch, segmented_mean_triton):
        assert way(features, assign, groups=2)[0].isnan().tolist() == [[[False] * 3, [False, False, True]]]


def runs_by_hand(features: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    start, length = np.zeros(features.shape[:3], dtype=int), np.zeros(features.shape[:3], dtype=int)
    for b, frame, place in np.ndindex(start.shape):
        now, before = features[b, frame, place], features[b, frame - 1, place]
        joins = frame > 0 and cosine(now, before) >= threshold
        start[b, frame, place] = start[b, frame - 1, place] if joins else frame
        length[b, start[b, frame, place], place] += 1
    return start, length


@few
@given(clips, DTYPES)
@example({"batch": 1, "frames": 1, "positions": 1, "width": 1, "seed": 0}, torch.float32)
def test_runs_last_while_frames_are_alike(shape: dict[str, int], dtype: torch.dtype) -> None:
    batch, frames, positions, width, seed = shape.values()
    steps = 0.3 * normal(batch, frames, positions, width + 1, seed=seed)
    features = (steps.cumsum(1) + 1).to(dtype)
    start, length = runs_by_hand(array(features), 0.95)
    expected = temporal_runs_torch(features, threshold=0.95)
    for found in (expected, temporal_runs(features, threshold=0.95), temporal_runs_triton(features, threshold=0.95)):
        assert found.start.tolist() == start.tolist()
        assert found.length.tolist() == length.tolist()
        close(found.similarity, expected.similarity)


@pytest.mark.parametrize("way", [temporal_runs_torch, temporal_runs_triton])
def test_equal_frames_are_one_run_and_nan_ends_it(way) -> None:
    clip = torch.ones(1, 5, 2, 4, device=DEVICE)
    clip[0, 2, 1, 3] = math.nan
    runs = way(clip, threshold=0.99)
    assert runs.length[0].T.tolist() == [[5, 0, 0, 0, 0], [2, 0, 1, 2, 0]]
    assert runs.start[0].T.tolist() == [[0, 0, 0, 0, 0], [0, 0, 2, 3, 3]]
    assert runs.similarity[0, 0].tolist() == [-math.inf, -math.inf]


def peaks_by_hand(features: np.ndarray, neighbours: int) -> tuple[np.ndarray, np.ndarray]:
    apart = np.linalg.norm(features[:, None] - features[None], axis=-1) / features.shape[-1] ** 0.5
    density = np.exp(-(np.sort(apart, axis=1)[:, :neighbours] ** 2).mean(axis=1))
    distance = []
    for i, mine in enumerate(density):
        denser = [apart[i, j] for j, other in enumerate(density) if other > mine or (other == mine and j < i)]
        distance.append(min(denser) if denser else apart[i].max())
    return density, np.array(distance)


@few
@given(crowds, DTYPES)
@example({"batch": 1, "tokens": 1, "neighbours": 3, "width": 1, "seed": 0}, torch.float32)
def test_density_and_the_nearest_denser(shape: dict[str, int], dtype: torch.dtype) -> None:
    batch, tokens, neighbours, width, seed = shape.values()
    features = normal(batch, tokens, width + 1, seed=seed, dtype=dtype)
    by_hand = [peaks_by_hand(row, neighbours) for row in array(features)]
    for way in (density_peaks, density_peaks_torch, density_peaks_triton):
        density, distance = way(features, neighbours=neighbours)
        close(density, np.stack([row[0] for row in by_hand]))
        if neighbours > 1:  # else every density is 1
            close(distance, np.stack([row[1] for row in by_hand]))


@pytest.mark.parametrize("way", [density_peaks_torch, density_peaks_triton])
def test_equally_dense_tokens_look_to_the_earlier_and_nan_is_far(way) -> None:
    features = torch.ones(1, 6, 4, device=DEVICE)
    assert [part.tolist() for part in way(features, neighbours=3)] == [[[1.0] * 6], [[0.0] * 6]]
    features[0, 2, 1] = math.nan
    density, distance = way(features, neighbours=3)
    assert density.tolist() == [[1.0, 1.0, 0.0, 1.0, 1.0, 1.0]]
    assert distance.tolist() == [[math.inf, 0.0, math.inf, 0.0, 0.0, 0.0]]
