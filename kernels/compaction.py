"""Top-k compaction: rank the tokens, keep the best in their order, and gather all that goes with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .dispatch import LONGEST_ROW, runs_on_gpu

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
        The kept rows, bit for bit. O(N log N + K D) time on the CPU; two launches and O(33 N + K D) on a GPU.
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
    ranked = scores.nan_to_num(nan=float("-inf"), posinf=float("inf"), neginf=float("-inf"))
    index = ranked.argsort(dim=-1, descending=True, stable=True)[:, :count].sort(dim=-1).values
    return Compacted(
        index,
        hidden.gather(1, index[..., None].expand(-1, -1, hidden.shape[-1])),
        None if positions is None else positions.gather(-1, index.expand(*positions.shape[:-1], count)),
        None if sizes is None else sizes.gather(1, index),
    )
