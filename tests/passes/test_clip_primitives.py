"""Budgets, segments and runs against plain Python."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from foveate.ir.layout import Layout
from foveate.passes import Compression
from foveate.passes.primitives.budget import share_counts, share_top_k
from foveate.passes.primitives.frames import quota_top_k, ranks, run_starts, spread
from foveate.passes.primitives.merge import anchored, merged, mixed, places
from foveate.passes.primitives.segments import (
    cut_segments,
    segment_first,
    segment_sizes,
    static_places,
    static_windows,
)
from foveate.passes.primitives.select import complement

groupings = st.lists(st.integers(-1, 3), min_size=1, max_size=14)


@given(groupings, st.lists(st.sampled_from([0.5, 1.0, 2.0, 3.0]), min_size=4, max_size=4), st.data())
def test_groups_share_a_count_by_one_divisor_and_give_their_best(group, share, data) -> None:
    members = {g: [i for i, other in enumerate(group) if other == g] for g in range(4)}
    count = data.draw(st.integers(0, sum(map(len, members.values()))))
    scores = data.draw(st.lists(st.sampled_from([0.0, 1.0, 2.5]), min_size=len(group), max_size=len(group)))
    given_out = [0] * 4
    for _ in range(count):
        turns = [(given_out[g] + 0.5) / share[g] if given_out[g] < len(members[g]) else np.inf for g in range(4)]
        given_out[int(np.argmin(turns))] += 1
    expected = [sorted(members[g], key=lambda i: (-scores[i], i))[: given_out[g]] for g in range(4)]
    arguments = torch.tensor([group]), torch.tensor([share]), count
    assert share_top_k(torch.tensor([scores]), *arguments).tolist() == [sorted(itertools.chain(*expected))]
    assert share_counts(*arguments).tolist() == [given_out]


def test_every_group_can_be_given_one_first_and_others_follow_where_groups_are_too_small() -> None:
    group, share = torch.tensor([[0] * 5 + [1, -1, -1]]), torch.tensor([[9.0, 0.1]])
    scores = torch.arange(8.0)[None]
    assert share_top_k(scores, group, share, 3).tolist() == [[2, 3, 4]]
    assert share_top_k(scores, group, share, 3, at_least=1).tolist() == [[3, 4, 5]]
    assert share_top_k(scores, group, share, 7).tolist() == [[0, 1, 2, 3, 4, 5, 7]]


@given(st.lists(st.booleans(), min_size=0, max_size=9))
def test_segments_are_what_lies_between_cuts(cuts: list[bool]) -> None:
    number, expected = 0, [0]
    for cut in cuts:
        number += cut
        expected.append(number)
    segment = cut_segments(torch.tensor([cuts], dtype=torch.bool).reshape(1, -1))
    assert segment.tolist() == [expected]
    assert segment_first(segment).tolist() == [[expected.index(s) for s in expected]]
    assert segment_sizes(segment).tolist() == [[expected.count(s) for s in expected]]


@pytest.mark.parametrize("frames", [1, 2, 5, 7])
@pytest.mark.parametrize("seed", range(6))
def test_no_other_windows_save_more_tokens(frames: int, seed: int) -> None:
    steady = torch.rand(2, frames - 1, 6, generator=torch.Generator().manual_seed(seed)) < 0.8
    window = static_windows(steady)
    static = static_places(steady, window)

    def saved(row: int, cuts: tuple[bool, ...]) -> int:
        edges = [0, *(i + 1 for i, cut in enumerate(cuts) if cut), frames]
        pairs = itertools.pairwise(edges)
        return sum(int(steady[row, a : b - 1].all(dim=0).sum()) * (b - 1 - a) for a, b in pairs if b - a > 1)

    for row in range(2):
        ours = tuple(bool(a != b) for a, b in itertools.pairwise(window[row].tolist()))
        assert saved(row, ours) == max(saved(row, cuts) for cuts in itertools.product([False, True], repeat=frames - 1))
        sizes = segment_sizes(window)[row]
        once = (static[row].float() * (1 - 1 / sizes)[:, None]).sum()
        assert round(once.item()) == saved(row, ours)


@given(st.lists(st.booleans(), min_size=1, max_size=12))
def test_runs_begin_where_nothing_joins(joins: list[bool]) -> None:
    expected: list[int] = []
    for i, joined in enumerate(joins):
        expected.append(expected[-1] if joined and i else i)
    joins[0] = False
    assert run_starts(torch.tensor(joins)).tolist() == expected


@given(st.lists(st.sampled_from([0.0, 1.0, -2.0]), min_size=1, max_size=9))
def test_ranks_are_places_in_the_ranking(scores: list[float]) -> None:
    order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    assert ranks(torch.tensor([scores])).tolist() == [[order.index(i) for i in range(len(scores))]]


def test_quotas_and_spreads() -> None:
    scores = torch.tensor([[[1.0, 3.0, 2.0], [5.0, 5.0, 4.0]]])
    assert quota_top_k(scores, [2, 1]).tolist() == [[1, 2, 3]]
    assert quota_top_k(scores, [0, 3]).tolist() == [[3, 4, 5]]
    assert spread(8, 4, torch.device("cpu")).tolist() == [0, 1] * 4


@given(st.integers(1, 12), st.data())
def test_complement_is_what_is_left(total: int, data) -> None:
    kept = sorted(data.draw(st.sets(st.integers(0, total - 1))))
    left = complement(torch.tensor([kept], dtype=torch.int64).reshape(1, -1), total)
    assert left.tolist() == [[i for i in range(total) if i not in kept]]


def test_anchors_add_or_blend_the_mean_of_the_others() -> None:
    features = torch.tensor([[[1.0], [3.0], [5.0], [10.0]]])
    index, assign = torch.tensor([[0, 3]]), torch.tensor([[0, 0, 0, 1]])
    assert anchored(features, index=index, assign=assign).flatten().tolist() == [5.0, 10.0]
    assert anchored(features, index=index, assign=assign, own=0.5, others=0.25).flatten().tolist() == [1.5, 10.0]
    assert places(index, 4).tolist() == [[0, -1, -1, 1]]


def test_a_compression_may_combine_in_its_own_way() -> None:
    features = torch.randn(1, 4, 3).to(torch.bfloat16)
    weight = torch.rand(1, 2, 4)
    found = Compression(
        torch.tensor([[0, 1]]), torch.tensor([[0, 1, -1, -1]]), combine=lambda f: mixed(f, weight=weight)
    )
    assert torch.equal(merged(features, found), (weight @ features.float()).to(torch.bfloat16))
    assert Layout(2).count == merged(features, found).shape[1]
