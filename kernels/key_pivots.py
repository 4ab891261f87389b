"""Pivots by the norms of keys, and the tokens that are least like them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .dispatch import LONGEST_ROW, runs_on_gpu
from .pivot import MOST_PIVOTS, least_similar_torch
from .token_norm import token_norm_torch

if TYPE_CHECKING:
    import torch


def unlike_key_pivots(
    keys: torch.Tensor,
    states: torch.Tensor,
    text_keys: torch.Tensor | None = None,
    text_states: torch.Tensor | None = None,
    *,
    count: int,
    own: int,
    others: int = 0,
) -> torch.Tensor:
    """The `own` tokens whose keys have the largest L1 norm, and what is least like these and the text's such tokens.

    That is DART (arXiv:2502.11494, section 4): see `least_similar` for how pivots take tokens in turn, the row's own
    first, each kind by falling norm. Of equal norms the earlier token is a pivot; NaN counts as the lowest. Where a row
    has fewer than `others` text tokens whose norm is not 0, its first pivot among them stands in.

    Args:
        keys: (B, N, W) and text_keys: (B, T, W) floating. states: (B, N, D) and text_states: (B, T, D) of one dtype.
        count: K, at least `own`. others: how many of the T text tokens are pivots, no more than T.

    Returns:
        (B, K) int64, sorted, the row's own pivots among them. O(P N D + P N log N) time for P pivots; on a GPU one
        launch for the norms of each kind and three more.
    """
    given = (keys, states, text_keys, text_states)
    longest = max(keys.shape[1], 0 if text_keys is None else text_keys.shape[1])
    if longest <= LONGEST_ROW and own + others <= MOST_PIVOTS and runs_on_gpu(*given):
        from .key_pivots_triton import unlike_key_pivots_triton

        return unlike_key_pivots_triton(*given, count=count, own=own, others=others)
    return unlike_key_pivots_torch(*given, count=count, own=own, others=others)


def unlike_key_pivots_torch(
    keys: torch.Tensor,
    states: torch.Tensor,
    text_keys: torch.Tensor | None = None,
    text_states: torch.Tensor | None = None,
    *,
    count: int,
    own: int,
    others: int = 0,
) -> torch.Tensor:
    """`unlike_key_pivots` in torch."""
    import torch

    mine = _largest(token_norm_torch(keys, order=1), own)
    pivots = states.gather(1, mine[..., None].expand(-1, -1, states.shape[-1]))
    if text_keys is not None and text_states is not None:
        norms = token_norm_torch(text_keys, order=1)
        theirs = _largest(norms, others)
        theirs = theirs.where(norms.gather(1, theirs) > 0, theirs[:, :1])
        pivots = torch.cat([pivots, text_states.gather(1, theirs[..., None].expand(-1, -1, states.shape[-1]))], dim=1)
    taken = torch.zeros(keys.shape[:2], dtype=torch.bool, device=keys.device).scatter(1, mine, True)
    return least_similar_torch(states, pivots, count=count - mine.shape[1], taken=taken, kept=mine.shape[1])


def _largest(norms: torch.Tensor, count: int) -> torch.Tensor:
    """The positions of the `count` largest norms of each row, by falling norm."""
    return norms.nan_to_num(nan=-1.0).argsort(dim=-1, descending=True, stable=True)[:, :count]
