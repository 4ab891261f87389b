"""Bipartite best match: for every token of one set, the most similar token of another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .dispatch import runs_on_gpu

if TYPE_CHECKING:
    import torch

_CHUNK = 1 << 22
"""Similarities that the torch way holds at once."""


def best_match(source: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The cosine and the position of the target most similar to each source token (ToMe, arXiv:2210.09461, section 3).

    Among equal cosines the earlier target is taken. NaN counts as -inf: a source without any other cosine matches
    target 0 with -inf. The sum is in float32.

    Args:
        source: (B, M, D) floating. target: (B, N, D) of the same dtype. Neither is empty.

    Returns:
        (B, M) float32 cosines and (B, M) int64 positions. O(M N D) time; the M x N cosines are never held whole: in
        chunks on the CPU, in registers on a GPU (one launch normalises, multiplies and takes the maximum).

    Example:
        >>> import torch
        >>> score, match = best_match(torch.eye(2)[None], torch.tensor([[[0.0, 2.0], [3.0, 0.0], [1.0, 0.0]]]))
        >>> match.tolist()
        [[1, 0]]
    """
    if source.dtype == target.dtype and runs_on_gpu(source, target):
        from .best_match_triton import best_match_triton

        return best_match_triton(source, target)
    return best_match_torch(source, target)


def best_match_torch(source: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """`best_match` in torch, some source tokens at a time."""
    import torch
    from torch.nn.functional import normalize

    left, right = normalize(source.float(), dim=-1), normalize(target.float(), dim=-1)
    rows = max(1, _CHUNK // (target.shape[0] * target.shape[1]))
    found = [_first_largest(left[:, i : i + rows] @ right.mT) for i in range(0, source.shape[1], rows)]
    return torch.cat([score for score, _ in found], dim=1), torch.cat([match for _, match in found], dim=1)


def _first_largest(cosines: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    cosines = cosines.masked_fill_(cosines.isnan(), float("-inf"))
    score = cosines.amax(-1)
    return score, (cosines == score[..., None]).byte().argmax(-1)
