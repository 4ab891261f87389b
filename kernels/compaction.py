"""Top-k compaction: rank the tokens, keep the best in their order, and gather all that goes with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .dispatch import LONGEST_ROW, runs_on_gpu
from .gathering import Compacted, compact_at_torch
from .top_k import top_k_torch

if TYPE_CHECKING:
    import torch


def compact_top_k(
    scores: torch.Tensor,
    hidden: torch.Tensor,
    *,
    count: int,
    positions: torch.Tensor | None = None,
    sizes: torch.Tensor | None = None,
) -> Compacted:
    """Keep the `count` highest scores of each row, in order, with their hidden states, positions and sizes.

    NaN counts as -inf; among equal scores the earlier token is kept.

    Args:
        scores: (B, N) floating.
        hidden: (B, N, D) any dtype.
        count: K, from 0 to N.
        positions: (B, N), or (P, B, N) where a token has P of them (M-RoPE).
        sizes: (B, N) any dtype.

    Returns:
        The kept rows, bit for bit. O(N log N + K D) time on the CPU; one launch and O(33 N + K D) on a GPU.
    """
    if scores.shape[1] <= LONGEST_ROW and count and runs_on_gpu(scores, hidden, positions, sizes):
        from .compaction_triton import compact_top_k_triton

        return compact_top_k_triton(scores, hidden, count=count, positions=positions, sizes=sizes)
    return compact_top_k_torch(scores, hidden, count=count, positions=positions, sizes=sizes)


def compact_top_k_torch(
    scores: torch.Tensor,
    hidden: torch.Tensor,
    *,
    count: int,
    positions: torch.Tensor | None = None,
    sizes: torch.Tensor | None = None,
) -> Compacted:
    """`compact_top_k` in torch: a stable sort, then gathers."""
    return compact_at_torch(top_k_torch(scores, count=count), hidden, positions=positions, sizes=sizes)
