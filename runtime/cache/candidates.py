"""Which entries of a layer's cache a pass may evict: the tokens of media, or whole sequences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from ..index_maps import compaction_index
from .entries import Entries

if TYPE_CHECKING:
    from ..media import MediaGroup
    from ..prefill import CallState


@dataclass(frozen=True)
class Candidates:
    """Entries that may go: (R, 1) batch rows, (R, n) slots in the cache, and those rows on the host."""

    row: torch.Tensor
    slot: torch.Tensor
    rows: tuple[int, ...]

    @property
    def total(self) -> int:
        """n."""
        return self.slot.shape[1]


@dataclass
class RowCounts:
    """Numbers of one call that the host must know row by row, read from the device once each."""

    _known: dict[Any, tuple[torch.Tensor, tuple[int, ...]]] = field(default_factory=dict)

    def of(self, index: torch.Tensor, valid: torch.Tensor | None) -> tuple[int, ...]:
        """Tokens of each row of `index` (B, P); `valid` (B, P) says which they are, None all of them."""
        if valid is None:
            return (index.shape[1],) * index.shape[0]
        return self.read(id(valid), valid, lambda: valid.sum(dim=1))

    def read(self, key: Any, owner: torch.Tensor, count: Any) -> tuple[int, ...]:
        """What `count` gives, on the host; `owner` is kept alive, so that no other tensor has its id."""
        if key not in self._known:
            self._known[key] = owner, tuple(count().tolist())
        return self._known[key][1]


def taken(tensor: torch.Tensor, candidates: Candidates) -> torch.Tensor:
    """(R, heads, n, ...) of a tensor (B, heads, P, ...)."""
    return tensor.transpose(1, 2)[candidates.row, candidates.slot].transpose(1, 2)


def of_media(groups: Sequence[MediaGroup], state: CallState, total: int, counts: RowCounts) -> Iterator[Candidates]:
    """The tokens of media of this call, group by group, in a cache of `total` entries that ends with this call's."""
    width = state.length if state.kept is None else state.kept.shape[1]
    for group in groups:
        media, tokens = group.positions.shape
        if not tokens:
            continue
        place = state.physical(group.positions)
        row = group.positions[:, 0] // state.length
        rows = (0,) * media if state.batch == 1 else counts.read(id(group.members), group.members, lambda row=row: row)
        yield Candidates(place[:, :1] // width, place % width + (total - width), rows)


def of_sequences(held: Entries, padding: Any, counts: RowCounts) -> Iterator[Candidates]:
    """Whole sequences, those of equal length together, without tokens that a 2-d `padding` of the prompt closes."""
    present, lengths = held.valid, held.lengths
    if isinstance(padding, torch.Tensor) and padding.ndim == 2:
        open_ = padding.bool().gather(1, held.index[:, 0])
        present = open_ if present is None else open_ & present
        shown = present
        lengths = counts.read((id(padding), held.count), padding, lambda: shown.sum(dim=1))
    for length in dict.fromkeys(lengths):
        rows = tuple(row for row, other in enumerate(lengths) if other == length)
        row = torch.tensor(rows, device=held.index.device)
        if present is None:
            slot = torch.arange(length, device=row.device).expand(len(rows), -1)
        else:
            slot = compaction_index(present[row], length, pad_left=False)
        yield Candidates(row[:, None], slot, rows)
