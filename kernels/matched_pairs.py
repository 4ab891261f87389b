"""One round of bipartite soft matching: tokens of one set join the most similar of the other, the best pairs first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .best_match import best_match_torch
from .dispatch import LONGEST_ROW, runs_on_gpu
from .top_k import top_k_torch

if TYPE_CHECKING:
    import torch


def matched_pairs(keys: torch.Tensor, *, count: int, parity: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Merge the N - K best pairs of alternating tokens (ToMe, arXiv:2210.09461, section 3).

    Tokens alternate between two sets; each of the first finds the one of the second with the highest cosine, and the
    N - K with the highest of these join it. Of equal cosines the earlier is taken, NaN counts as -inf.

    Args:
        keys: (B, N, W) floating, what is compared.
        count: K, at least the tokens of the second set and less than N.
        parity: 0 where token 0 is in the first set, 1 where it is in the second.

    Returns:
        (B, K) int64, the tokens that remain, sorted, and (B, N) int64, the place among them that each token goes to.
        O(N^2 W) time; two launches on a GPU, where no cosine is stored.

    Example:
        >>> import torch
        >>> keys = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [0.1, 1.0], [1.0, 0.9]]])
        >>> [part.tolist() for part in matched_pairs(keys, count=3)]
        [[[0, 1, 3]], [[0, 1, 1, 2]]]
    """
    if keys.shape[1] <= LONGEST_ROW and runs_on_gpu(keys):
        from .matched_pairs_triton import matched_pairs_triton

        return matched_pairs_triton(keys, count=count, parity=parity)
    return matched_pairs_torch(keys, count=count, parity=parity)


def matched_pairs_torch(keys: torch.Tensor, *, count: int, parity: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """`matched_pairs` in torch."""
    import torch

    batch, tokens, _ = keys.shape
    score, match = best_match_torch(keys[:, parity::2], keys[:, 1 - parity :: 2])
    merged = top_k_torch(score, count=tokens - count)
    source, goal = parity + 2 * merged, 1 - parity + 2 * match.gather(1, merged)
    remains = torch.ones(batch, tokens, dtype=torch.int64, device=keys.device).scatter(1, source, 0)
    index = remains.byte().argsort(dim=-1, descending=True, stable=True)[:, :count]
    place = remains.cumsum(dim=1) - 1
    return index, place.scatter(1, source, place.gather(1, goal))
