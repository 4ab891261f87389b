"""The methods for clips against plain numpy versions of the published formulas, on clips that change slowly."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from published import DTYPES, array, clip, cosines, descending, drawn, run, same_values, signal, softmax
from published_methods import frames_of, peaks, prunevid_groups, refined, runs, runs_merged

from foveate.ir.layout import Layout
from foveate.ir.signal import received
from foveate.passes import create
from foveate.passes.dycoke_ttm import frame_quotas
from foveate.passes.primitives.segments import refined_segments

CLIPS = [
    Layout(36, (4, 3, 3)),
    Layout(60, (5, 3, 4)),
    Layout(96, (8, 3, 4)),
    Layout(70, (10, 7, 1)),
    Layout(6, (1, 2, 3)),
]
KEEPS = [0.1, 0.3, 0.55, 0.8]


def setup(name: str, layout: Layout, keep: float, dtype=torch.float32, **params):
    method = create(name, params)
    tokens = dataclasses.replace(drawn(method, layout, dtype=dtype), features=clip(layout).to(dtype))
    count = method.count(layout, keep).count
    return method, tokens, count


def previous_cosines(frames: np.ndarray) -> np.ndarray:
    """(T - 1, n) cosine of every place with the frame before."""
    unit = frames / np.linalg.norm(frames, axis=-1, keepdims=True)
    return (unit[1:] * unit[:-1]).sum(axis=-1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("keep", KEEPS)
@pytest.mark.parametrize("layout", CLIPS)
def test_dycoke_ttm(layout: Layout, keep: float, dtype: torch.dtype) -> None:
    method, tokens, count = setup("dycoke-ttm", layout, keep, dtype)
    found, _ = run(method, tokens, count)
    quotas = frame_quotas(layout.grid[0], layout.count // layout.grid[0], count)
    assert sum(quotas) == count
    for row in range(2):
        frames = frames_of(tokens, row)
        kept = found.index[row].numpy()
        for number, frame in enumerate(frames):
            mine = sorted(i - number * frames.shape[1] for i in kept if i // frames.shape[1] == number)
            if number % 4 == 0:
                assert len(mine) == quotas[number]
                continue
            other = frames[number - (2 if number % 4 == 2 else 1)]
            similar = np.array([cosines(frame[[i]], other[[i]])[0, 0] for i in range(len(frame))])
            assert mine == sorted(descending(-similar)[: quotas[number]])


def test_dycokes_published_ratio_keeps_whole_frames_and_three_tenths_of_the_others() -> None:
    assert frame_quotas(8, 100, 2 * 100 + 6 * 30) == [100, 30, 30, 30] * 2


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("keep", KEEPS)
@pytest.mark.parametrize("layout", CLIPS)
def test_timechat_online_drops_by_one_threshold_on_all_similarities(layout, keep, dtype) -> None:
    method, tokens, count = setup("timechat-online", layout, keep, dtype)
    found, _ = run(method, tokens, count)
    places = layout.count // layout.grid[0]
    for row in range(2):
        kept = found.index[row].tolist()
        if count >= places:
            changed = -previous_cosines(frames_of(tokens, row)).reshape(-1)
            expected = list(range(places)) + sorted(places + i for i in descending(changed)[: count - places])
            assert kept == expected
        else:
            assert max(kept) < places
            assert np.abs(np.mean(kept) - (places - 1) / 2) <= places / 4


def vidcom2(features: np.ndarray, frames: int, base: float) -> tuple[np.ndarray, np.ndarray]:
    """The public code: (T, n) scores of which the lowest stay, and each frame's published share of tokens."""
    variance = features.var(axis=0)
    steady = features[:, descending(-variance)[: int(features.shape[1] * 0.5)]]
    unit = (steady / np.linalg.norm(steady, axis=-1, keepdims=True)).reshape(frames, -1, steady.shape[1])

    def gaussians(centre: np.ndarray) -> np.ndarray:
        squares = ((unit - centre) ** 2).sum(axis=-1)
        return sum(np.exp(-squares / (2 * 2.0**k)) for k in range(-3, 2))

    whole, frame = gaussians(unit.mean(axis=(0, 1), keepdims=True)), gaussians(unit.mean(axis=1, keepdims=True))
    chance = softmax(-whole.mean(axis=1) / 0.01)
    return whole + frame, np.minimum(base * (1 + chance - chance.mean()), 1.0)


def webster(shares: np.ndarray, limits: np.ndarray, total: int, least: int = 0) -> np.ndarray:
    """Counts that one divisor rounds the shares to, by giving tokens out one by one (highest averages)."""
    counts = np.zeros(len(shares), dtype=int)
    for _ in range(total):
        turns = [
            np.inf if counts[i] >= limits[i] else 0.0 if counts[i] < least else (counts[i] + 0.5) / shares[i]
            for i in range(len(shares))
        ]
        counts[int(np.argmin(turns))] += 1
    return counts


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("keep", KEEPS)
@pytest.mark.parametrize("layout", CLIPS)
def test_vidcom2(layout: Layout, keep: float, dtype: torch.dtype) -> None:
    method, tokens, count = setup("vidcom2", layout, keep, dtype)
    frames, places = layout.grid[0], layout.count // layout.grid[0]
    found, _ = run(method, tokens, count)
    for row in range(2):
        scores, shares = vidcom2(array(tokens.features[row]), frames, count / layout.count)
        counts = webster(shares * places, np.full(frames, places), count, least=1)
        published = np.maximum(np.round(shares * places).astype(int), 1)
        assert (counts == published).all() or published.sum() != count
        expected = [t * places + i for t in range(frames) for i in sorted(descending(-scores[t])[: counts[t]])]
        assert found.index[row].tolist() == expected


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("keep", KEEPS)
@pytest.mark.parametrize("threshold", [0.6, 0.95, -1.0])
@pytest.mark.parametrize("layout", CLIPS)
def test_framefusion_once(layout: Layout, threshold: float, keep: float, dtype: torch.dtype) -> None:
    method, tokens, count = setup("framefusion-once", layout, keep, dtype, threshold=threshold)
    frames, places = layout.grid[0], layout.count // layout.grid[0]
    found, features = run(method, tokens, count)
    for row in range(2):
        attention = signal(tokens, received("decoder", -1), row)
        similar = previous_cosines(frames_of(tokens, row)).reshape(-1)
        merged = {i + places for i in descending(similar)[: layout.count - count] if similar[i] >= threshold}
        groups = runs_merged(array(tokens.features[row]), frames, merged)
        left = sorted(groups, key=lambda i: (-attention[i], i))[:count]
        assert found.index[row].tolist() == sorted(left)
        same_values(features[row], [array(tokens.features[row])[groups[i]].mean(axis=0) for i in sorted(left)], dtype)


def segments_of(frames: np.ndarray, number: int, threshold: float) -> list[range]:
    means = frames.mean(axis=1)
    similar = np.array([cosines(means[[t]], means[[t + 1]])[0, 0] for t in range(len(frames) - 1)])
    cuts = {*descending(-similar)[: number - 1], *np.flatnonzero(similar < threshold)}
    edges = [0, *sorted(int(c) + 1 for c in cuts), len(frames)]
    return [range(a, b) for a, b in pairwise(edges)]


def fastvid(tokens, row: int, count: int, method) -> dict[int, np.ndarray]:
    frames = frames_of(tokens, row)
    number, places, _ = frames.shape
    flat, attention = frames.reshape(number * places, -1), signal(tokens, received("encoder"), row)
    each = count // number
    salient_each = each - int(each * method.density)
    out, rest, scores = {}, {}, {}
    for t in range(number):
        order = descending(attention[t * places : (t + 1) * places])
        out |= {t * places + i: flat[t * places + i] for i in order[:salient_each]}
        rest[t] = sorted(t * places + i for i in order[salient_each:])
        scores[t] = peaks(flat[rest[t]], min(method.neighbours, len(rest[t]))) if rest[t] else np.zeros(0)
    anchor_frames, shares = [], []
    segments = segments_of(frames, method.segments, method.threshold)
    for segment in segments:
        chosen = [t for t in segment if (segment[-1] - t) % method.every == 0]
        anchor_frames += chosen
        shares += [len(segment) / len(chosen)] * len(chosen)
    limits = np.array([len(rest[t]) for t in anchor_frames])
    budgets = webster(np.array(shares), limits, count - number * salient_each)
    for t, budget in zip(anchor_frames, budgets, strict=True):
        segment = next(s for s in segments if t in s)
        joining = [i for other in segment for i in rest[other]]
        anchors = sorted(rest[t][j] for j in descending(scores[t])[:budget])
        if not anchors:
            continue
        nearest = cosines(flat[joining], flat[anchors]).argmax(axis=1)
        for place, anchor in enumerate(anchors):
            joined = [joining[j] for j in np.flatnonzero(nearest == place)]
            beta = max(1 / (len(joined) + 1), method.blend)
            out[anchor] = beta * flat[anchor] + (1 - beta) * flat[joined].mean(axis=0)
    return out


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "params", [{}, {"segments": 2, "threshold": 0.5, "every": 2}, {"segments": 1, "threshold": -1.0, "blend": 0.1}]
)
@pytest.mark.parametrize("keep", KEEPS[:3])
@pytest.mark.parametrize("layout", CLIPS)
def test_fastvid(layout: Layout, keep: float, params, dtype: torch.dtype) -> None:
    method, tokens, count = setup("fastvid", layout, keep, dtype, **params)
    found, features = run(method, tokens, count)
    for row in range(2):
        expected = fastvid(tokens, row, count, method)
        if len(expected) < count:  # the anchor frames are too small for a budget that the paper never gives
            assert set(expected) < set(found.index[row].tolist())
            continue
        assert found.index[row].tolist() == sorted(expected)
        same_values(features[row], [expected[i] for i in sorted(expected)], dtype)


def best_windows(steady: np.ndarray) -> list[tuple[int, int]]:
    """The public code's dynamic programme over (T - 1, n) steady places: (first, last) frames of the windows."""
    frames = len(steady) + 1

    def saved(first: int, last: int) -> float:
        return steady[first:last].all(axis=0).sum() * (last - first)

    best, start = [], []
    for last in range(frames):
        value, first = (best[last - 1] if last else 0), last
        for size in range(2, last + 2):
            before = best[last - size] if last - size >= 0 else 0
            total = before + saved(last - size + 1, last)
            if total > value:
                value, first = total, last - size + 1
        best.append(value)
        start.append(first)
    windows, last = [], frames - 1
    while last >= 0:
        windows.append((start[last], last))
        last = start[last] - 1
    return windows[::-1]


def left_once_static_ones_are_merged(frames: np.ndarray, threshold: float) -> int:
    steady = previous_cosines(frames) > threshold
    saved = [steady[a:b].all(axis=0).sum() * (b - a) for a, b in best_windows(steady) if b > a]
    return frames.shape[0] * frames.shape[1] - int(sum(saved))


def holitom(tokens, row: int, count: int, method) -> dict[int, np.ndarray]:
    frames = frames_of(tokens, row)
    places = frames.shape[1]
    attention = signal(tokens, received("encoder"), row).reshape(frames.shape[:2])
    steady = previous_cosines(frames) > method.threshold
    groups = []  # (members as (frame, place), their features, whether static)
    for first, last in best_windows(steady):
        static = steady[first:last].all(axis=0) & (last > first)
        for t in range(first, last + 1):
            moving = np.flatnonzero(~static)
            groups.append(([(t, i) for i in moving], frames[t, moving], False))
            if t == first:
                groups.append(
                    ([(t, i) for i in np.flatnonzero(static)], frames[first : last + 1, static].mean(axis=0), True)
                )
    groups.sort(key=lambda group: (group[0][0][0] if group[0] else 0, group[2]))
    sizes = np.array([len(members) for members, _, _ in groups])
    out = {}
    for (members, features, static), budget in zip(groups, webster(sizes, sizes, count), strict=True):
        if not static:
            order = descending([attention[t, i] for t, i in members])[:budget]
            out |= {members[j][0] * places + members[j][1]: features[j] for j in order}
        elif budget:
            centres = sorted(descending(peaks(features, min(method.neighbours, budget)))[:budget])
            others = [j for j in range(len(members)) if j not in centres]
            distance = np.linalg.norm(features[others][:, None] - features[centres][None], axis=-1)
            nearest = distance.argmin(axis=1) if others else np.zeros(0)
            for place, j in enumerate(centres):
                joined = features[[others[k] for k in np.flatnonzero(nearest == place)]]
                value = (
                    features[j]
                    if not len(joined)
                    else method.blend * features[j] + (1 - method.blend) * joined.mean(axis=0)
                )
                out[members[j][0] * places + members[j][1]] = value
    return out


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("threshold", [0.8, 0.5, 0.95])
@pytest.mark.parametrize("keep", KEEPS)
@pytest.mark.parametrize("layout", CLIPS)
def test_holitom_outer(layout: Layout, keep: float, threshold: float, dtype: torch.dtype) -> None:
    method, tokens, count = setup("holitom-outer", layout, keep, dtype, threshold=threshold)
    found, features = run(method, tokens, count)
    for row in range(2):
        if left_once_static_ones_are_merged(frames_of(tokens, row), threshold) < count:
            assert torch.isfinite(torch.from_numpy(features)).all()
            continue
        expected = holitom(tokens, row, count, method)
        assert found.index[row].tolist() == sorted(expected)
        same_values(features[row], [expected[i] for i in sorted(expected)], dtype)


@given(st.lists(st.integers(0, 3), min_size=4, max_size=16))
def test_refined_segments_are_those_of_the_public_code(labels: list[int]) -> None:
    expected = [(a, b) for a, b in runs(refined(labels))]
    found = refined_segments(torch.tensor([labels]))[0].tolist()
    assert runs(found) == expected


def prunevid(tokens, row: int, count: int, method) -> dict[int, np.ndarray]:
    groups = prunevid_groups(tokens, row, method)
    sizes = np.array([len(members) for _, members, _ in groups])
    if sizes.sum() < count:
        return {}
    out = {}
    for (first, members, features), budget in zip(groups, webster(sizes, sizes, count), strict=True):
        if budget:
            chosen = descending(peaks(features, min(method.neighbours, len(members))))[:budget]
            distance = np.linalg.norm(features[:, None] - features[chosen][None], axis=-1)
            nearest = distance.argmin(axis=1)
            nearest[chosen] = range(budget)
            out |= {first + int(members[c]): features[nearest == k].mean(axis=0) for k, c in enumerate(chosen)}
    return out


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("params", [{}, {"segments": 0.5, "threshold": 0.9}, {"segments": 0.4, "threshold": 0.3}])
@pytest.mark.parametrize("keep", KEEPS)
@pytest.mark.parametrize("layout", CLIPS)
def test_prunevid_merging(layout: Layout, keep: float, params, dtype: torch.dtype) -> None:
    method, tokens, count = setup("prunevid-merging", layout, keep, dtype, **params)
    found, features = run(method, tokens, count)
    for row in range(2):
        expected = prunevid(tokens, row, count, method)
        if not expected:
            assert np.isfinite(features).all()
            continue
        assert found.index[row].tolist() == sorted(expected)
        same_values(features[row], [expected[i] for i in sorted(expected)], dtype)
