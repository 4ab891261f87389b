"""Properties of the maps between the original sequence and the compressed one, for any rows of a batch."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foveate.runtime.index_maps import (
    compaction_index,
    gather_mask,
    gather_sequence,
    inverse_map,
    placeholder_positions,
)

steady = settings(deadline=None, derandomize=True, max_examples=40)


@st.composite
def masks(draw: st.DrawFn) -> torch.Tensor:
    """(B, L) bool with at least one set entry in each row, different rows keeping different counts."""
    length = draw(st.integers(1, 12))
    row = st.lists(st.booleans(), min_size=length, max_size=length).filter(any)
    return torch.tensor(draw(st.lists(row, min_size=1, max_size=4)))


def kept_of(mask: torch.Tensor) -> list[list[int]]:
    """The kept positions of each row, by hand."""
    return [[place for place, kept in enumerate(row) if kept] for row in mask.tolist()]


@steady
@given(masks(), st.booleans())
def test_rows_that_keep_fewer_are_padded_on_their_side_with_dropped_positions(mask: torch.Tensor, pad_left: bool):
    width = int(mask.sum(dim=1).max())
    index = compaction_index(mask, width, pad_left=pad_left)
    for row, kept in zip(index.tolist(), kept_of(mask), strict=True):
        real, filler = (
            (row[width - len(kept) :], row[: width - len(kept)]) if pad_left else (row[: len(kept)], row[len(kept) :])
        )
        assert real == kept
        assert not set(filler) & set(kept)
        assert len(set(row)) == width


@steady
@given(masks(), st.booleans())
def test_the_inverse_leads_every_kept_position_back_to_itself(mask: torch.Tensor, pad_left: bool):
    index = compaction_index(mask, int(mask.sum(dim=1).max()), pad_left=pad_left)
    inverse = inverse_map(index, mask.shape[1])
    for row, kept in enumerate(kept_of(mask)):
        assert [index[row, inverse[row, place]].item() for place in kept] == kept


@steady
@given(masks(), st.data())
def test_two_compactions_compose_to_one(mask: torch.Tensor, data: st.DataObject):
    width = int(mask.sum(dim=1).min())
    first = compaction_index(mask, int(mask.sum(dim=1).max()), pad_left=False)[:, :width]
    places = data.draw(st.lists(st.sampled_from(range(width)), min_size=1, max_size=width, unique=True).map(sorted))
    second = torch.tensor(places).expand(len(mask), -1)
    values = torch.arange(mask.numel() * 3).view(*mask.shape, 3)
    one_by_one = gather_sequence(gather_sequence(values, first), second)
    assert torch.equal(one_by_one, gather_sequence(values, first.gather(1, second)))


@steady
@given(masks())
def test_placeholders_are_found_in_order(mask: torch.Tensor):
    expected = [place for place, there in enumerate(mask.flatten().tolist()) if there]
    assert placeholder_positions(mask, int(mask.sum())).tolist() == expected


@steady
@given(masks(), st.booleans())
def test_a_mask_of_four_dimensions_loses_the_rows_and_columns_that_leave(mask: torch.Tensor, shared: bool):
    batch, length = mask.shape
    index = compaction_index(mask, int(mask.sum(dim=1).max()), pad_left=True)
    whole = torch.arange(batch * length * length).view(batch, 1, length, length)[: 1 if shared else batch]
    found = gather_mask(whole, index, index)
    for row in range(batch):
        expected = whole[0 if shared else row, 0][index[row]][:, index[row]]
        assert torch.equal(found[row, 0], expected)
