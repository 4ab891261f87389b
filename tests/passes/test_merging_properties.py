"""Properties that every way of merging keeps, for any partition of the tokens."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from foveate.ir.layout import Layout
from foveate.passes import REGISTRY, Compression
from foveate.passes.contract import sample_tokens
from foveate.passes.primitives.merge import anchored, gather, group_sums, merged, places
from foveate.passes.primitives.neighbours import chained

MERGERS = [
    name
    for name in REGISTRY.names()
    if not REGISTRY.get(name).withdraws
    and hasattr(REGISTRY.get(name), "count")
    and "input" not in REGISTRY.get(name).sites
    and "decoder.cache" not in REGISTRY.get(name).sites
]


@dataclass(frozen=True)
class Partition:
    """(B, N, D) features whose tokens belong to groups with sorted representatives, -1 being none."""

    features: torch.Tensor
    index: torch.Tensor
    assign: torch.Tensor
    weight: torch.Tensor


@st.composite
def partitions(draw: st.DrawFn) -> Partition:
    """Any tokens in any groups, each representative in its own group."""
    total = draw(st.integers(1, 12))
    count = draw(st.integers(1, total))
    rows, indices = draw(st.integers(1, 3)), []
    assign = torch.tensor(draw(st.lists(st.integers(-1, count - 1), min_size=rows * total, max_size=rows * total)))
    for _ in range(rows):
        chosen = st.lists(st.integers(0, total - 1), min_size=count, max_size=count, unique=True)
        indices.append(sorted(draw(chosen)))
    index = torch.tensor(indices)
    own = torch.arange(count).expand(rows, -1)
    draws = torch.Generator().manual_seed(draw(st.integers(0, 9)))
    features = torch.randn(rows, total, 4, generator=draws)
    weight = torch.rand(rows, total, generator=draws) + 0.1
    return Partition(features, index, assign.view(rows, total).scatter(1, index, own), weight)


@given(partitions())
def test_sizes_add_up_to_the_tokens_that_belong_to_a_group(drawn: Partition):
    _, sizes = group_sums(drawn.features, drawn.assign, drawn.index.shape[1])
    assert torch.equal(sizes.sum(dim=1), (drawn.assign >= 0).sum(dim=1).float())
    assert (sizes >= 1).all()


@given(partitions())
def test_sums_of_the_groups_are_the_sum_of_their_tokens(drawn: Partition):
    sums, totals = group_sums(drawn.features, drawn.assign, drawn.index.shape[1], weight=drawn.weight)
    counted = drawn.weight * (drawn.assign >= 0)
    torch.testing.assert_close(totals.sum(dim=1), counted.sum(dim=1))
    torch.testing.assert_close(sums.sum(dim=1), (drawn.features * counted[..., None]).sum(dim=1))


@given(partitions())
def test_the_mean_of_equal_tokens_is_that_token(drawn: Partition):
    equal = drawn.features[:, :1].expand_as(drawn.features)
    wanted = equal[:, : drawn.index.shape[1]]
    for weight in (None, drawn.weight):
        torch.testing.assert_close(merged(equal, Compression(drawn.index, drawn.assign, weight)), wanted)


@given(partitions())
def test_groups_of_one_stay_as_they_are(drawn: Partition):
    alone = torch.full_like(drawn.assign, -1).scatter(
        1, drawn.index, torch.arange(drawn.index.shape[1]).expand_as(drawn.index)
    )
    kept = gather(drawn.features, drawn.index)
    assert torch.equal(merged(drawn.features, Compression(drawn.index, alone)), kept)
    assert torch.equal(anchored(drawn.features, index=drawn.index, assign=alone), kept)


@given(partitions())
def test_blending_equal_tokens_gives_that_token(drawn: Partition):
    equal = drawn.features[:, :1].expand_as(drawn.features)
    found = anchored(equal, index=drawn.index, assign=drawn.assign, own=0.25, others=0.75)
    torch.testing.assert_close(found, equal[:, : drawn.index.shape[1]])


@given(partitions())
def test_places_invert_the_index(drawn: Partition):
    total = drawn.assign.shape[1]
    found = places(drawn.index, total)
    assert torch.equal(found.gather(1, drawn.index), torch.arange(drawn.index.shape[1]).expand_as(drawn.index))
    assert ((found >= 0).sum(dim=1) == drawn.index.shape[1]).all()


@given(partitions())
def test_chains_of_neighbours_are_runs_and_cover_everything(drawn: Partition):
    similar = drawn.features[..., 0].clone()
    similar[:, 0] = float("-inf")
    count = drawn.index.shape[1]
    index, assign = chained(similar, count)
    assert (index[:, 0] == 0).all()
    steps = assign.diff(dim=1)
    assert ((steps == 0) | (steps == 1)).all()
    assert (assign[:, -1] == count - 1).all()


@pytest.mark.parametrize("name", MERGERS)
def test_every_passes_groups_have_sizes_that_add_up(name: str):
    """Counted by hand from `assign`: a token is in one group or in none, and every group holds its representative."""
    method = REGISTRY.get(name)()
    for layout in (Layout.image(6, 6), Layout(36, (4, 3, 3))):
        if layout.grid[0] > 1 and "video" not in method.modalities:
            continue
        tokens, target = sample_tokens(method, layout), method.count(layout, 0.3)
        found = method.compress(tokens, target)
        if found.assign is None:
            continue
        _, sizes = group_sums(tokens.features, found.assign, target.count)
        members = [[(row == group).sum() for group in range(target.count)] for row in found.assign]
        assert sizes.tolist() == [[float(size) for size in row] for row in members]
        assert sizes.min() >= 1
        assert sizes.sum() == (found.assign >= 0).sum()
        doubled = merged(2 * tokens.features, replace(found, weight=None))
        torch.testing.assert_close(
            doubled, 2 * merged(tokens.features, replace(found, weight=None)), rtol=1e-4, atol=1e-5
        )
