"""Budget allocators: how an exact count is shared among frames or groups whose needs depend on content."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .select import ranked

if TYPE_CHECKING:
    import torch


def share_top_k(
    scores: torch.Tensor, group: torch.Tensor, share: torch.Tensor, count: int, *, at_least: int = 0
) -> torch.Tensor:
    """The highest scores of each group, K in all, as many of each group as its share asks for.

    Webster's method: a group of share s gets round(s / d) tokens, the divisor d being such that exactly K are given;
    with d = 1 where the rounded shares add up to K as they are. No group gets more tokens than it has.

    Args:
        scores: (B, N) floating. group: (B, N) int64 group of each token, -1 for tokens that may not be taken.
        share: (B, G) of each group, at least 0, in any unit. count: K.
        at_least: tokens that each group gets before any gets more, as long as K allows.

    Returns:
        (B, K) int64, sorted. O(N log N) time; no host synchronisation, though shares and groups depend on content.
        Where fewer than K tokens are in groups, others follow in order of position.
    """
    return _taken(scores, group, share, count, at_least).sort(dim=-1).values


def share_counts(group: torch.Tensor, share: torch.Tensor, count: int) -> torch.Tensor:
    """How many tokens `share_top_k` takes of each group, (B, G) int64; that does not depend on scores."""
    import torch

    taken = _taken(torch.zeros_like(group, dtype=torch.float32), group, share, count, 0)
    number = group.gather(1, taken)
    ones = (number >= 0).long()
    return torch.zeros_like(share, dtype=torch.int64).scatter_add(1, number.clamp(min=0), ones)


def _taken(scores: torch.Tensor, group: torch.Tensor, share: torch.Tensor, count: int, at_least: int) -> torch.Tensor:
    """The tokens that are taken, (B, K): the r-th of a group of share s has its turn at (r + 0.5) / s.

    Of equal turns the first group's comes first.
    """
    groups = share.shape[1]
    order = by_group(scores, group, groups)
    number = group.gather(1, order)
    rank = _places_in_runs(number, groups)
    turn = (rank + 0.5) / share.gather(1, number.clamp(min=0)).clamp(min=1e-12)
    turn = turn.masked_fill(rank < at_least, 0.0).masked_fill(number < 0, float("inf"))
    return order.gather(1, turn.argsort(dim=-1, stable=True)[:, :count])


def by_group(scores: torch.Tensor, group: torch.Tensor, groups: int) -> torch.Tensor:
    """(B, N) int64: tokens ordered by group, in each from the highest score to the lowest; those of none come last."""
    by_score = ranked(scores)
    number = group.masked_fill(group < 0, groups)
    return by_score.gather(1, number.gather(1, by_score).argsort(dim=-1, stable=True))


def _places_in_runs(number: torch.Tensor, groups: int) -> torch.Tensor:
    """(B, N) int64: place of each element among those of its group, for elements that are ordered by group."""
    import torch

    shifted = number.masked_fill(number < 0, groups)
    sizes = torch.zeros(number.shape[0], groups + 1, dtype=torch.int64, device=number.device)
    sizes = sizes.scatter_add(1, shifted, torch.ones_like(shifted))
    first = sizes.cumsum(dim=1) - sizes
    return torch.arange(number.shape[1], device=number.device) - first.gather(1, shifted)
