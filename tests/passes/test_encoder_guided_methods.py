"""VisionZip, VisPruner, PruMerge+ and CDPruner against plain numpy versions of the published formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from published import DTYPES, array, cosines, descending, drawn, run, same_values, signal
from published_methods import collected

from foveate.common.errors import BadInput
from foveate.ir.layout import Layout
from foveate.ir.signal import cls_row, embedding, encoder_key, received
from foveate.passes import create

SIZES = [(16, 4), (36, 9), (49, 20), (30, 27), (7, 1)]  # N, K


def visionzip(features, attention, keys, dominant: int, contextual: int) -> dict[int, np.ndarray]:
    """The public code: [CLS] row to dominant tokens, stride to anchors, assigned means added to anchors."""
    keep = descending(attention)[:dominant]
    rest = [i for i in range(len(features)) if i not in keep]
    out = {i: features[i] for i in keep}
    if contextual:
        step = max(1, len(rest) // contextual)
        anchors = list(range(0, len(rest), step))[:contextual]
        metric = keys.mean(axis=1)[rest]
        others = [i for i in range(len(rest)) if i not in anchors]
        nearest = cosines(metric[others], metric[anchors]).argmax(axis=1) if others else np.array([])
        for place, anchor in enumerate(anchors):
            joined = [rest[others[j]] for j in np.flatnonzero(nearest == place)]
            mean = features[joined].mean(axis=0) if joined else 0.0
            out[rest[anchor]] = features[rest[anchor]] + mean
    return out


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reads", ["cls", "mean"])
@pytest.mark.parametrize(("total", "count"), SIZES)
def test_visionzip(total: int, count: int, reads: str, dtype: torch.dtype) -> None:
    method = create("visionzip", {"reads": reads, "contextual": 0.3})
    tokens = drawn(method, Layout(total), dtype=dtype)
    found, features = run(method, tokens, count)
    contextual = int(0.3 * count + 0.5)
    for row in range(2):
        attention = signal(tokens, cls_row() if reads == "cls" else received("encoder"), row)
        expected = visionzip(
            array(tokens.features[row]), attention, signal(tokens, encoder_key(), row), count - contextual, contextual
        )
        assert found.index[row].tolist() == sorted(expected)
        same_values(features[row], [expected[i] for i in sorted(expected)], dtype)


def test_visionzips_published_counts_and_what_it_may_read() -> None:
    method = create("visionzip")
    for count, contextual in ((64, 10), (128, 20), (192, 30)):
        tokens = drawn(method, Layout.image(24, 24), rows=1, width=4)
        found, _ = run(method, tokens, count)
        groups = torch.bincount(found.assign[0][found.assign[0] >= 0], minlength=count)
        assert groups.sum() == 576 - count + contextual + count - contextual
        assert (groups > 1).sum() <= contextual
    with pytest.raises(BadInput, match="must be auto, cls or mean"):
        create("visionzip", {"reads": "row"}).needs(Layout(4))


def vispruner(features, attention, count: int, share: float, per_round: int) -> list[int]:
    """The public code's rounds on lists, the first half being the larger one where a number is odd."""
    important = int(count * share)
    diverse = count - important
    order = descending(attention)
    keep, rest = order[:important], order[important:]
    while len(rest) > diverse and diverse:
        removed = min(per_round, len(rest) - diverse, (len(rest) + 1) // 2)
        first, second = rest[::2], rest[1::2]
        highest = cosines(features[first], features[second]).max(axis=1)
        rest = [first[i] for i in descending(highest)[removed:]] + second
    return sorted(keep + rest[:diverse])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("share", "per_round"), [(0.5, 8), (0.5, 3), (0.0, 8), (1.0, 8), (0.25, 1)])
@pytest.mark.parametrize(("total", "count"), SIZES)
def test_vispruner(total: int, count: int, share: float, per_round: int, dtype: torch.dtype) -> None:
    method = create("vispruner", {"important": share, "per_round": per_round})
    tokens = drawn(method, Layout(total), dtype=dtype)
    found, _ = run(method, tokens, count)
    for row in range(2):
        expected = vispruner(array(tokens.features[row]), signal(tokens, cls_row(), row), count, share, per_round)
        assert found.index[row].tolist() == expected


def prumerge_plus(features, attention, keys, count: int, neighbours: int) -> dict[int, np.ndarray]:
    """A quarter of K - 1 by attention, the others at a stride, and the residual token."""
    total, number = len(features), max(1, count - 1)
    outliers = descending(attention)[: int(0.25 * number + 0.5)]
    rest = [i for i in range(total) if i not in outliers]
    strided = number - len(outliers)
    kept = outliers + [rest[i * len(rest) // strided] for i in range(strided)]
    return collected(features, attention, keys, kept, neighbours, residual=count > 1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("neighbours", [32, 3])
@pytest.mark.parametrize(("total", "count"), SIZES)
def test_prumerge_plus(total: int, count: int, neighbours: int, dtype: torch.dtype) -> None:
    method = create("prumerge-plus", {"neighbours": neighbours})
    tokens = drawn(method, Layout(total), dtype=dtype)
    found, features = run(method, tokens, count)
    for row in range(2):
        attention, keys = signal(tokens, cls_row(-1, joint=True), row), signal(tokens, encoder_key(-1), row)
        expected = prumerge_plus(array(tokens.features[row]), attention, keys, count, neighbours)
        assert found.index[row].tolist() == sorted(expected)
        same_values(features[row], [expected[i] for i in sorted(expected)], dtype)
        assert (found.assign[row] >= 0).all() or count == 1


def conditional_dpp(features, text, count: int, sign: float) -> list[int]:
    """Greedy maximisation of log det of the kernel's chosen submatrix, each step by determinants."""
    relevance = sign * cosines(features, text).mean(axis=1)
    relevance = (relevance - relevance.min() + 1e-6) / (relevance.max() - relevance.min())
    kernel = relevance[:, None] * cosines(features, features) * relevance[None]
    chosen: list[int] = []
    while len(chosen) < count:
        others = [i for i in range(len(features)) if i not in chosen]
        chosen.append(max(others, key=lambda i: np.linalg.det(kernel[np.ix_([*chosen, i], [*chosen, i])])))
    return sorted(chosen)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("negated", [False, True])
@pytest.mark.parametrize(("total", "count"), [(16, 4), (36, 9), (49, 8), (7, 1)])
def test_cdpruner_llm_text(total: int, count: int, negated: bool, dtype: torch.dtype) -> None:
    method = create("cdpruner-llm-text", {"negated": negated})
    tokens = drawn(method, Layout(total), dtype=dtype, width=24)
    found, _ = run(method, tokens, count)
    for row in range(2):
        text = signal(tokens, embedding("text"), row)
        text = text[(text != 0).any(axis=1)]
        expected = conditional_dpp(array(tokens.features[row]), text, count, -1.0 if negated else 1.0)
        assert found.index[row].tolist() == expected


@pytest.mark.parametrize("smallest", [False, True])
def test_norm(smallest: bool) -> None:
    method = create("norm", {"smallest": smallest})
    tokens = drawn(method, Layout(23))
    found, _ = run(method, tokens, 9)
    norms = np.linalg.norm(array(tokens.features), axis=-1) * (-1 if smallest else 1)
    assert found.index.tolist() == [sorted(descending(row)[:9]) for row in norms]
