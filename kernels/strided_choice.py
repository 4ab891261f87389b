"""Strided choice: the tokens of the highest scores, and an even stride over those that remain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .dispatch import LONGEST_ROW, runs_on_gpu
from .top_k import top_k_torch

if TYPE_CHECKING:
    import torch


def strided_choice(
    scores: torch.Tensor, *, best: int, strided: int, step: tuple[int, int] = (1, 1), last: bool = False
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The `best` highest scores of each row and `strided` of the others; those chosen beside the best are marked.

    Of what the best leave, in order of position, the others are the tokens at floor(i * step[0] / step[1]) for i from
    0. NaN counts as -inf; among equal scores the earlier token is better.

    Args:
        scores: (B, N) floating.
        best: from 0. strided: from 0; all places of the stride are below N - best.
        last: whether the last token that is not chosen goes on too, and all others that are not chosen join it.

    Returns:
        (B, K) int64, the tokens that go on, sorted; (B, C) int64, those of the stride, or with `last` (B, 1) the last
        token; (B, N) int64, the place among the K of each token that goes on, or with `last` of what each joins; else
        -1. O(N log N) time; one launch on a GPU.

    Example:
        >>> import torch
        >>> found = strided_choice(torch.tensor([[0.1, 0.9, 0.3, 0.2, 0.4]]), best=1, strided=2, step=(2, 1))
        >>> [part.tolist() for part in found]
        [[[0, 1, 3]], [[0, 3]], [[0, 1, -1, 2, -1]]]
    """
    if scores.shape[1] <= LONGEST_ROW and runs_on_gpu(scores):
        from .strided_choice_triton import strided_choice_triton

        return strided_choice_triton(scores, best=best, strided=strided, step=step, last=last)
    return strided_choice_torch(scores, best=best, strided=strided, step=step, last=last)


def strided_choice_torch(
    scores: torch.Tensor, *, best: int, strided: int, step: tuple[int, int] = (1, 1), last: bool = False
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """`strided_choice` in torch: stable sorts."""
    import torch

    tokens = scores.shape[1]
    kept = torch.zeros_like(scores, dtype=torch.uint8).scatter(1, top_k_torch(scores, count=best), 1)
    rest = kept.argsort(dim=1, stable=True)[:, : tokens - best]
    marked = rest[:, [i * step[0] // step[1] for i in range(strided)]]
    kept = kept.scatter(1, marked, 1)
    dropped = 1 - kept
    if last:
        marked = (dropped * torch.arange(1, tokens + 1, device=scores.device)).argmax(dim=1, keepdim=True)
        kept = kept.scatter(1, marked, 1)
    index = kept.argsort(dim=1, descending=True, stable=True)[:, : best + strided + last]
    place = kept.cumsum(dim=1) - 1
    joined = place.gather(1, marked) if last else place.new_tensor(-1)
    return index, marked, place.where(dropped == 0, joined)
