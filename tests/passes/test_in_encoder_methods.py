"""ToMe, EViT and representation shift against plain numpy versions of the published formulas."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from published import DTYPES, array, cosines, descending, drawn, run, same_values, signal

from foveate.common.errors import BadInput
from foveate.ir.layout import Layout
from foveate.ir.signal import before_mlp, latest_cls_row, latest_key
from foveate.passes import create
from foveate.passes.primitives.merge import merged

HALF = [(16, 9, 0), (16, 8, 1), (9, 5, 0), (9, 5, 1), (2, 1, 1), (3, 2, 0)]  # N, K, tokens before them such as [CLS]


def soft_matching(keys, count: int, prefix: int) -> list[list[int]]:
    """One round by hand: which original tokens each remaining token stands for, in the order of their places."""
    total = len(keys)
    metric = keys.mean(axis=1)
    first = [i for i in range(total) if (i + prefix) % 2 == 0]
    second = [i for i in range(total) if (i + prefix) % 2 == 1]
    similar = cosines(metric[first], metric[second])
    groups = {i: [i] for i in range(total)}
    for place in descending(similar.max(axis=1))[: total - count]:
        groups[second[similar[place].argmax()]] += groups.pop(first[place])
    return [sorted(groups[i]) for i in sorted(groups)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("total", "count", "prefix"), HALF)
def test_tome_merges_the_most_similar_pairs(total: int, count: int, prefix: int, dtype: torch.dtype) -> None:
    method = create("tome")
    tokens = drawn(method, Layout(total, prefix=prefix), dtype=dtype)
    found, features = run(method, tokens, count)
    for row in range(2):
        groups = soft_matching(signal(tokens, latest_key(), row), count, prefix)
        assert [[i for i in range(total) if found.assign[row, i] == g] for g in range(count)] == groups
        same_values(features[row], [array(tokens.features[row])[g].mean(axis=0) for g in groups], dtype)


def test_tome_means_count_a_merged_token_as_often_as_its_originals() -> None:
    method = create("tome")
    tokens = drawn(method, Layout(8))
    sizes = torch.tensor([[1.0, 3, 1, 2, 5, 1, 1, 1]]).expand(2, -1)
    tokens = dataclasses.replace(tokens, sizes=sizes)
    _, features = run(method, tokens, 5)
    for row in range(2):
        groups, weights = soft_matching(signal(tokens, latest_key(), row), 5, 0), array(sizes[row])
        plain = array(tokens.features[row])
        expected = [np.average(plain[group], axis=0, weights=weights[group]) for group in groups]
        same_values(features[row], expected, torch.float32)


def test_tome_below_half_goes_on_with_the_merged_keys() -> None:
    """Two rounds are what one round and another on the merged tokens give."""
    method = create("tome")
    tokens = drawn(method, Layout(12), rows=1)
    both, features = run(method, tokens, 3)
    first, halfway = run(method, tokens, 6)
    keys = merged(tokens.signals[latest_key()].flatten(2), first).view(1, 6, *tokens.signals[latest_key()].shape[2:])
    sizes = torch.bincount(first.assign[0], minlength=6)[None].float()
    after = dataclasses.replace(
        tokens, features=torch.from_numpy(halfway).float(), layout=Layout(6), signals={latest_key(): keys}, sizes=sizes
    )
    second, expected = run(method, after, 3)
    assert torch.equal(first.index.gather(1, second.index), both.index)
    same_values(features[0], list(expected[0]), torch.float32)


def test_tome_says_whether_later_attention_is_weighed() -> None:
    assert create("tome").weighs_attention
    assert not create("tome", {"proportional": False}).weighs_attention
    assert not create("evit").weighs_attention


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("total", "count"), [(16, 4), (36, 20), (7, 6), (7, 1), (5, 5)])
def test_evit_keeps_by_cls_attention_and_fuses_the_rest(total: int, count: int, dtype: torch.dtype) -> None:
    method = create("evit")
    tokens = drawn(method, Layout(total), dtype=dtype)
    found, features = run(method, tokens, count)
    for row in range(2):
        attention, plain = signal(tokens, latest_cls_row(), row), array(tokens.features[row])
        order = descending(attention)
        out = {i: plain[i] for i in order[:count]}
        if 1 < count < total:
            rest = order[count - 1 :]
            out[rest[0]] = (attention[rest, None] * plain[rest]).sum(axis=0)
            assert {int(i) for i in (found.assign[row] == found.assign[row, rest[0]]).nonzero()} == set(rest)
        assert found.index[row].tolist() == sorted(out)
        same_values(features[row], [out[i] for i in sorted(out)], dtype)


def test_evit_without_fusing_drops_the_rest() -> None:
    method = create("evit", {"fuse": False})
    tokens = drawn(method, Layout(20))
    found, _ = run(method, tokens, 7)
    assert found.assign is None
    for row in range(2):
        assert found.index[row].tolist() == sorted(descending(signal(tokens, latest_cls_row(), row))[:7])


@pytest.mark.parametrize("distance", ["l2", "l1", "cosine"])
@pytest.mark.parametrize(("total", "count"), [(16, 4), (9, 8), (5, 1)])
def test_representation_shift(total: int, count: int, distance: str) -> None:
    method = create("representation-shift", {"distance": distance})
    tokens = drawn(method, Layout(total))
    found, _ = run(method, tokens, count)
    for row in range(2):
        after, before = array(tokens.features[row]), signal(tokens, before_mlp(), row)
        moved = {
            "l2": np.sqrt(((after - before) ** 2).sum(axis=1)),
            "l1": np.abs(after - before).sum(axis=1),
            "cosine": 1 - np.diag(cosines(after, before)),
        }[distance]
        assert found.index[row].tolist() == sorted(descending(moved)[:count])


def test_an_unknown_distance_is_refused() -> None:
    with pytest.raises(BadInput, match="must be l2, l1 or cosine"):
        create("representation-shift", {"distance": "l3"}).needs(Layout(4))
