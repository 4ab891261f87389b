"""The published thresholds (`adaptive: true`) against plain numpy versions, which decide how many tokens remain."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from published import DTYPES, array, clip, cosines, descending, drawn, same_values, signal
from published_methods import collected, pact, peaks, prunevid_groups, runs_merged

from foveate.common.errors import BadInput
from foveate.ir.layout import Layout
from foveate.ir.signal import cls_row, encoder_key
from foveate.passes import REGISTRY, create
from foveate.passes.adaptive import AdaptivePass
from foveate.passes.contract import check_pass
from foveate.passes.primitives.merge import merged

CLIPS = [
    Layout(36, (4, 3, 3)),
    Layout(60, (5, 3, 4)),
    Layout(96, (8, 3, 4)),
    Layout(70, (10, 7, 1)),
    Layout(6, (1, 2, 3)),
]
ADAPTIVE = sorted(name for name, cls in REGISTRY.items().items() if issubclass(cls, AdaptivePass))


def published(name: str, layout: Layout, dtype: torch.dtype, *, moving: bool = True, seed: int = 0, **params):
    """The method on one medium: its tokens, what it left, and the features that go on, in double precision."""
    method = create(name, {"adaptive": True, **params})
    tokens = drawn(method, layout, rows=1, dtype=dtype, seed=seed)
    if moving:
        tokens = dataclasses.replace(tokens, features=clip(layout, rows=1, seed=seed).to(dtype))
    found = method.published(tokens)
    return tokens, found, merged(tokens.features, found).double().numpy()[0]


def similarities(tokens) -> np.ndarray:
    """(T, n) cosine of each token with its place one frame before; the first frame has -1."""
    frames = array(tokens.features[0]).reshape(tokens.layout.grid[0], -1, tokens.features.shape[-1])
    unit = frames / np.linalg.norm(frames, axis=-1, keepdims=True)
    return np.concatenate([-np.ones((1, frames.shape[1])), (unit[1:] * unit[:-1]).sum(axis=-1)])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("threshold", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("layout", CLIPS)
def test_timechat_online_drops_what_is_more_similar_than_its_threshold(layout, threshold, dtype) -> None:
    tokens, found, _ = published("timechat-online", layout, dtype, threshold=threshold)
    assert found.index[0].tolist() == np.flatnonzero(similarities(tokens).reshape(-1) <= threshold).tolist()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("threshold", [0.6, 0.95])
@pytest.mark.parametrize("layout", CLIPS)
def test_framefusion_merges_every_chain_and_drops_none(layout, threshold, dtype) -> None:
    tokens, found, features = published("framefusion-once", layout, dtype, threshold=threshold)
    similar, values = similarities(tokens).reshape(-1), array(tokens.features[0])
    groups = runs_merged(values, layout.grid[0], set(np.flatnonzero(similar >= threshold).tolist()))
    assert found.index[0].tolist() == sorted(groups)
    same_values(features, [values[groups[i]].mean(axis=0) for i in sorted(groups)], dtype)
    assert not tokens.signals


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("params", [{}, {"segments": 0.5, "threshold": 0.9}, {"ratio": 0.3, "threshold": 0.3}])
@pytest.mark.parametrize("layout", [*CLIPS, Layout(150, (5, 6, 5))])
def test_prunevid_halves_groups_of_more_than_fourteen(layout, params, dtype) -> None:
    tokens, found, features = published("prunevid-merging", layout, dtype, **params)
    method, expected = create("prunevid-merging", params), {}
    for first, members, values in prunevid_groups(tokens, 0, method):
        budget = int(len(members) * method.ratio) if len(members) > 14 else len(members)
        if not budget:
            continue
        chosen = descending(peaks(values, min(method.neighbours, len(members))))[:budget]
        nearest = np.linalg.norm(values[:, None] - values[chosen][None], axis=-1).argmin(axis=1)
        nearest[chosen] = range(budget)
        expected |= {first + int(members[c]): values[nearest == k].mean(axis=0) for k, c in enumerate(chosen)}
    assert found.index[0].tolist() == sorted(expected)
    same_values(features, [expected[i] for i in sorted(expected)], dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cutoff", [0.21, 0.5, 0.8, 1.1])
@pytest.mark.parametrize("name", ["pact", "pact-unweighted"])
@pytest.mark.parametrize("total", [12, 36, 64])
def test_pact_keeps_the_centres_that_its_cutoff_opens(total: int, name: str, cutoff: float, dtype: torch.dtype) -> None:
    tokens, found, features = published(name, Layout(total), dtype, moving=False, cutoff=cutoff)
    expected = pact(tokens, 0, cutoff, 0.55, 1.5)
    assert found.index[0].tolist() == sorted(expected)
    same_values(features, [expected[i] for i in sorted(expected)], dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("total", [16, 49, 144, 576])
def test_prumerge_plus_keeps_outliers_and_the_stride_of_their_number(total, seed, dtype) -> None:
    tokens, found, features = published("prumerge-plus", Layout(total), dtype, moving=False, seed=seed)
    attention, keys = signal(tokens, cls_row(-1, joint=True), 0), signal(tokens, encoder_key(-1), 0)
    low, high = np.percentile(attention, [25, 75])
    outliers = np.flatnonzero(attention > high + 1.5 * (high - low)).tolist() or [int(attention.argmax())]
    stride = max(1, int(int(total / len(outliers)) / 3))
    kept = sorted({*outliers, *range(0, total - 1, stride)})
    expected = collected(array(tokens.features[0]), attention, keys, kept, 32, residual=len(kept) < total)
    assert found.index[0].tolist() == sorted(expected)
    same_values(features, [expected[i] for i in sorted(expected)], dtype)


def test_prumerge_plus_takes_the_most_attended_token_where_none_is_an_outlier() -> None:
    method = create("prumerge-plus", {"adaptive": True})
    tokens = drawn(method, Layout(30), rows=1)
    even = torch.linspace(0.4, 0.6, 30)[None]
    signals = {need: even if need.signal == "attention_row" else value for need, value in tokens.signals.items()}
    found = method.published(dataclasses.replace(tokens, signals=signals))
    assert found.index.tolist() == [[0, 10, 20, 28, 29]]  # the stride 30 // 1 // 3, the sum's place, the most attended


@pytest.mark.parametrize("name", ADAPTIVE)
def test_more_may_stay_of_one_medium_than_of_another(name: str) -> None:
    layout, counts = Layout(96, (8, 3, 4)), set()
    for seed in range(6):
        counts.add(published(name, layout, torch.float32, seed=seed)[1].index.shape[1])
    assert len(counts) > 1


@pytest.mark.parametrize("name", ADAPTIVE)
def test_adaptive_methods_hold_the_contract_and_take_no_keep_but_one(name: str) -> None:
    check_pass(REGISTRY.get(name), {"adaptive": True})
    method = create(name, {"adaptive": True})
    assert method.count(Layout.image(6, 6), 1.0) == Layout(36)
    with pytest.raises(BadInput, match="set keep to 1"):
        method.count(Layout.image(6, 6), 0.5)


def test_the_methods_that_are_published_with_a_threshold() -> None:
    published = {"framefusion-once", "pact", "pact-unweighted", "prumerge-plus", "prunevid-merging", "timechat-online"}
    assert set(ADAPTIVE) == published


def test_cosine_helper_agrees_with_the_similarities_used_here() -> None:
    tokens, _, _ = published("timechat-online", CLIPS[0], torch.float32)
    frames = array(tokens.features[0]).reshape(4, 9, -1)
    assert similarities(tokens)[1, 0] == pytest.approx(cosines(frames[1, :1], frames[0, :1])[0, 0])
