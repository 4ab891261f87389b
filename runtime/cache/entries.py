"""What one decoder layer's cache holds after entries were evicted, head by head."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch


@dataclass(frozen=True)
class Entries:
    """The entries of one layer at its last eviction; tokens that came later follow them in the cache.

    Attributes:
        index: (B, G, P) int64, position of each entry in the sequence that the caller knows, by key-value head.
        since: tokens of the layer's own sequence at that time; later ones have not been evicted from.
        lengths: entries of each row, filling left out, on the host.
        valid: (B, P) bool, False where a row was filled up; None where every row is full.
        attention: (B, H, P) float32 attention received so far, where the pass goes on evicting by it.
        turned: (B, P) int64, by how much keys were renumbered; None where the pass does not.
        anchors: (B, G, S, D) the first keys before they were renumbered, where that goes on while decoding.
    """

    index: torch.Tensor
    since: int
    lengths: tuple[int, ...]
    valid: torch.Tensor | None = None
    attention: torch.Tensor | None = None
    turned: torch.Tensor | None = None
    anchors: torch.Tensor | None = None

    @property
    def count(self) -> int:
        """P."""
        return self.index.shape[2]

    def places(self) -> torch.Tensor:
        """(B, G, P) int64 positions of the entries, -1 where a row was filled up."""
        return self.index if self.valid is None else self.index.masked_fill(~self.valid[:, None], -1)

    def rows(self, order: torch.Tensor) -> Entries:
        """The entries with the cache's batch rows selected or reordered."""
        names = ("index", "valid", "attention", "turned", "anchors")
        tensors = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        moved: dict[str, Any] = {name: tensor[order] for name, tensor in tensors.items()}
        return replace(self, **moved, lengths=_reordered(self.lengths, order))

    def columns(self, tail: torch.Tensor) -> torch.Tensor:
        """(B, P + T) positions of all entries of the first head, followed by those of `tail` (B, T)."""
        return torch.cat([self.index[:, 0], tail], dim=1)

    def present(self, tail: torch.Tensor, valid: torch.Tensor | None) -> torch.Tensor | None:
        """(B, P + T) bool, which columns are tokens; `valid` (B, T) of the tail; None where all are."""
        if self.valid is None and valid is None:
            return None
        batch, device = tail.shape[0], tail.device
        head = torch.ones(batch, self.count, dtype=torch.bool, device=device) if self.valid is None else self.valid
        rest = torch.ones_like(tail, dtype=torch.bool) if valid is None else valid
        return torch.cat([head, rest], dim=1)

    def gaps(self) -> torch.Tensor:
        """(B, P) int64: how far each entry must move up so that positions run without a gap to the last one's."""
        index = self.index[:, 0]
        if self.valid is None:
            places = torch.arange(self.count, device=index.device)
            return index[:, -1:] - (self.count - 1 - places) - index
        rank = self.valid.long().cumsum(dim=1)
        end = index.masked_fill(~self.valid, -1).amax(dim=1, keepdim=True)
        return (end - (rank[:, -1:] - rank) - index).masked_fill(~self.valid, 0)


def fill_mask(lengths: tuple[int, ...], width: int, *, pad_left: bool, device: torch.device) -> torch.Tensor | None:
    """(len(lengths), width) bool, False where a row of so many entries is filled up; None where none is."""
    if min(lengths) == width:
        return None
    counts = torch.tensor(lengths, device=device)[:, None]
    places = torch.arange(width, device=device)
    return places >= width - counts if pad_left else places < counts


def _reordered(lengths: tuple[int, ...], order: torch.Tensor) -> tuple[int, ...]:
    if len(set(lengths)) == 1:
        return lengths[:1] * len(order)
    return tuple(lengths[row] for row in order.tolist())
