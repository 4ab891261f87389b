"""DART, SparseVLM, PACT, PyramidDrop and VTW against plain numpy versions of the published formulas."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from published import DTYPES, array, cosines, descending, drawn, run, same_values, signal, softmax
from published_methods import dbdpc, pact

from foveate.common.errors import BadInput
from foveate.ir.layout import Layout
from foveate.ir.signal import decoder_key, embedding, last_row, state, text_rows
from foveate.passes import create
from foveate.passes.primitives import bounded_density
from foveate.passes.primitives.bounded_density import opened_centres

SIZES = [(16, 4), (36, 17), (49, 20), (30, 27), (7, 1)]  # N, K


def dart(tokens, row: int, count: int, media_pivots: int, text_pivots: int) -> list[int]:
    """The public code on sets, pivots in falling order of norm, the first ones taking the remainder."""
    media, text = signal(tokens, state("media"), row), signal(tokens, state("text"), row)
    norms = np.abs(signal(tokens, decoder_key(), row)).sum(axis=(1, 2))
    text_norms = np.abs(signal(tokens, decoder_key(of="text"), row)).sum(axis=(1, 2))
    own = descending(norms)[: min(media_pivots, count)]
    others = descending(text_norms)[:text_pivots]
    others = [i if text_norms[i] > 0 else others[0] for i in others]
    pivots = [media[i] for i in own] + [text[i] for i in others]
    kept, left = set(own), count - len(own)
    for place, pivot in enumerate(pivots):
        number = left // len(pivots) + (place < left % len(pivots))
        valid = [i for i in range(len(media)) if i not in kept]
        similar = cosines(pivot[None], media[valid])[0]
        kept |= {valid[i] for i in descending(-similar)[:number]}
    return sorted(kept)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("media_pivots", "text_pivots"), [(4, 4), (1, 2), (3, 1)])
@pytest.mark.parametrize(("total", "count"), SIZES)
def test_dart(total: int, count: int, media_pivots: int, text_pivots: int, dtype: torch.dtype) -> None:
    method = create("dart", {"media_pivots": media_pivots, "text_pivots": text_pivots})
    tokens = drawn(method, Layout(total), dtype=dtype)
    found, _ = run(method, tokens, count)
    assert found.index.tolist() == [dart(tokens, row, count, media_pivots, text_pivots) for row in range(2)]


def test_dart_without_text_pivots_reads_no_text() -> None:
    assert create("dart", {"text_pivots": 0}).needs(Layout(4)) == (decoder_key(), state("media"))


def dpc_clusters(points: np.ndarray, clusters: int) -> tuple[list[int], np.ndarray]:
    """The public code's density peaks with k = number of clusters: centres, and the nearest one of each point.

    Its noise decides which of two equally dense points is denser (two that are each other's nearest, where k = 2); here
    it is the earlier one.
    """
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1) / points.shape[1] ** 0.5
    density = np.exp(-(np.sort(distance, axis=1)[:, :clusters] ** 2).mean(axis=1))
    gap = np.full(len(points), distance.max())
    for i in range(len(points)):
        denser = np.flatnonzero((density > density[i]) | ((density == density[i]) & (np.arange(len(points)) < i)))
        if len(denser):
            gap[i] = distance[i, denser].min()
    centres = descending(gap * density)[:clusters]
    nearest = distance[:, centres].argmin(axis=1)
    nearest[centres] = range(clusters)
    return centres, nearest


def sparsevlm(tokens, row: int, number: int, clusters: int, pool: int) -> dict[int, np.ndarray]:
    features, rows = array(tokens.features[row]), signal(tokens, text_rows(), row)
    text, media = signal(tokens, embedding("text"), row), signal(tokens, embedding("media"), row)
    present = np.flatnonzero((text != 0).any(axis=1))
    share = softmax(media @ text[present].T, axis=1).mean(axis=0)
    raters = present[share > share.mean()]
    rating = rows[raters].mean(axis=0)
    order = descending(rating)
    out = {i: features[i] for i in order[:number]}
    if clusters:
        best = sorted(order[number:], key=lambda i: order.index(i))[:pool]
        centres, nearest = dpc_clusters(features[best], clusters)
        for place, centre in enumerate(centres):
            out[best[centre]] = features[[best[i] for i in np.flatnonzero(nearest == place)]].mean(axis=0)
    return out


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("per_cluster", [10, 3])
@pytest.mark.parametrize(("total", "count"), [*SIZES, (100, 40)])
def test_sparsevlm(total: int, count: int, per_cluster: int, dtype: torch.dtype) -> None:
    method = create("sparsevlm", {"per_cluster": per_cluster})
    tokens = drawn(method, Layout(total), dtype=dtype)
    found, features = run(method, tokens, count)
    for row in range(2):
        expected = sparsevlm(tokens, row, *method.split(total, count))
        assert found.index[row].tolist() == sorted(expected)
        same_values(features[row], [expected[i] for i in sorted(expected)], dtype)


@pytest.mark.parametrize("total", [2, 16, 100, 576, 577])
def test_sparsevlms_split_is_the_public_codes_where_that_has_k_tokens(total: int) -> None:
    method = create("sparsevlm")
    published = {}
    for kept in range(1, total):
        pool = min(int((total - kept) * 0.3) + 1, total - kept)
        published.setdefault(kept + int(pool / 10) + 1, []).append((kept, int(pool / 10) + 1, pool))
    for count in range(1, total):
        kept, clusters, pool = method.split(total, count)
        assert kept + clusters == count
        assert count not in published or (kept, clusters, pool) in published[count] or clusters == 0


def test_sparsevlm_lets_all_text_rate_where_none_stands_out() -> None:
    method = create("sparsevlm")
    tokens = drawn(method, Layout(16))
    one = {need: value.clone() for need, value in tokens.signals.items()}
    for need in one:
        if need.of_text:
            one[need][:, 1:] = 0
    rating = method.rating(dataclasses.replace(tokens, signals=one))
    torch.testing.assert_close(rating, one[text_rows()][:, 0])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cutoff", [0.21, 0.5, 0.8, 1.1])
@pytest.mark.parametrize("total", [12, 36, 64])
def test_pact_is_as_published_where_that_keeps_k(total: int, cutoff: float, dtype: torch.dtype) -> None:
    method = create("pact-unweighted", {"cutoff": cutoff})
    tokens = drawn(method, Layout(total), rows=1, dtype=dtype)
    expected = pact(tokens, 0, cutoff, 0.55, 1.5)
    found, features = run(method, tokens, len(expected))
    assert found.index[0].tolist() == sorted(expected)
    same_values(features[0], [expected[i] for i in sorted(expected)], dtype)


def test_pact_with_another_count_keeps_the_densest_centres_or_opens_the_farthest_tokens_too() -> None:
    method = create("pact-unweighted", {"cutoff": 0.8})
    tokens = drawn(method, Layout(49), rows=1)
    published = set(pact(tokens, 0, 0.8, 0.55, 1.5))
    number = len(published)
    fewer, more = (set(run(method, tokens, count)[0].index[0].tolist()) for count in (number - 2, number + 3))
    assert fewer < published < more
    assert len(fewer) == number - 2
    assert len(more) == number + 3


def test_centres_are_opened_alike_on_the_host_and_on_the_device() -> None:
    keys = torch.nn.functional.normalize(torch.randn(3, 40, 6, generator=torch.Generator().manual_seed(2)), dim=-1)
    distance = (1 - keys @ keys.mT).clamp(min=0)
    order, gap = opened_centres(distance, 0.4)
    rows = distance.gather(1, order[..., None].expand_as(distance)).gather(2, order[:, None].expand_as(distance))
    assert torch.equal(bounded_density._on_device(rows, 0.4), gap)
    assert order[0][gap[0] > 0.4].sort().values.tolist() == dbdpc(distance[0].double().numpy(), 0.4)


def test_pyramiddrop_keeps_the_highest_of_the_row_of_the_layer_at_its_site() -> None:
    method = create("pyramiddrop")
    tokens = drawn(method, Layout(24))
    assert method.needs(Layout(24)) == (last_row(0),)
    found, _ = run(method, tokens, 10)
    assert found.index.tolist() == [sorted(descending(signal(tokens, last_row(0), row))[:10]) for row in range(2)]


def test_vtw_keeps_none_or_all() -> None:
    method, layout = create("vtw"), Layout.image(4, 4)
    assert method.count(layout, 0.0).count == 0
    assert method.count(layout, 1.0) == layout
    with pytest.raises(BadInput, match="set it to 0"):
        method.count(layout, 0.5)
    assert method.compress(drawn(method, layout), method.count(layout, 0.0)).index.shape == (2, 0)
