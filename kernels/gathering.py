"""Gathering: all that goes with the tokens at known places."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .dispatch import runs_on_gpu

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Compacted:
    """What remains of a row of tokens.

    Attributes:
        index: (B, K) int64, sorted: which tokens were kept.
        hidden: (B, K, D) their hidden states, as they were.
        positions: (B, K) or (P, B, K) int64, their positions; None if none were given.
        sizes: (B, K) how many tokens each stands for; None if none were given.
    """

    index: torch.Tensor
    hidden: torch.Tensor
    positions: torch.Tensor | None
    sizes: torch.Tensor | None


def compact_at(
    index: torch.Tensor,
    hidden: torch.Tensor,
    *,
    positions: torch.Tensor | None = None,
    sizes: torch.Tensor | None = None,
) -> Compacted:
    """The tokens at `index`, with their hidden states, positions and sizes.

    Args:
        index: (B, K) int64, sorted. hidden, positions, sizes: as for `compact_top_k`.

    Returns:
        The rows at `index`, bit for bit. O(K D) time, one launch on a GPU.
    """
    if index.shape[1] and runs_on_gpu(index, hidden, positions, sizes):
        from .gathering_triton import compact_at_triton

        return compact_at_triton(index, hidden, positions=positions, sizes=sizes)
    return compact_at_torch(index, hidden, positions=positions, sizes=sizes)


def compact_at_torch(
    index: torch.Tensor,
    hidden: torch.Tensor,
    *,
    positions: torch.Tensor | None = None,
    sizes: torch.Tensor | None = None,
) -> Compacted:
    """`compact_at` in torch."""
    return Compacted(
        index,
        hidden.gather(1, index[..., None].expand(-1, -1, hidden.shape[-1])),
        None if positions is None else positions.gather(-1, index.expand(*positions.shape[:-1], index.shape[1])),
        None if sizes is None else sizes.gather(1, index),
    )
