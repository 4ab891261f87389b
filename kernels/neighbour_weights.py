"""Weights of neighbours: what each token that goes on takes of the tokens whose keys are most like its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .dispatch import LONGEST_ROW, runs_on_gpu
from .top_k import top_k_torch

if TYPE_CHECKING:
    import torch


def neighbour_weights(
    keys: torch.Tensor,
    scores: torch.Tensor,
    index: torch.Tensor,
    last: torch.Tensor,
    assign: torch.Tensor,
    *,
    neighbours: int,
) -> torch.Tensor:
    """Each token that goes on takes itself, and its nearest others times their scores (PruMerge+, arXiv:2403.15388).

    The nearest have the highest cosine of keys; of equal ones the earlier comes first, and NaN counts as -inf. The
    token `last` takes all that join it instead, itself among them, each times its score.

    Args:
        keys: (B, N, W) floating. scores: (B, N) float32, such as attention.
        index: (B, K) int64, the tokens that go on. last: (B, 1) int64, one of them. assign: (B, N) int64 place in
            `index` of what each token joins.
        neighbours: how many others each takes; no more than N - 1 are taken.

    Returns:
        (B, K, N) float32. O(N K W) time; one launch on a GPU.

    Example:
        >>> import torch
        >>> keys = torch.tensor([[[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]]])
        >>> index, last, assign = torch.tensor([[0, 2]]), torch.tensor([[2]]), torch.tensor([[0, 1, 1]])
        >>> neighbour_weights(keys, torch.tensor([[0.5, 0.25, 0.125]]), index, last, assign, neighbours=1).tolist()
        [[[1.0, 0.25, 0.0], [0.0, 0.25, 0.125]]]
    """
    if keys.shape[1] <= LONGEST_ROW and runs_on_gpu(keys, scores, index, last, assign):
        from .neighbour_weights_triton import neighbour_weights_triton

        return neighbour_weights_triton(keys, scores, index, last, assign, neighbours=neighbours)
    return neighbour_weights_torch(keys, scores, index, last, assign, neighbours=neighbours)


def neighbour_weights_torch(
    keys: torch.Tensor,
    scores: torch.Tensor,
    index: torch.Tensor,
    last: torch.Tensor,
    assign: torch.Tensor,
    *,
    neighbours: int,
) -> torch.Tensor:
    """`neighbour_weights` in torch."""
    import torch
    from torch.nn.functional import normalize

    unit = normalize(keys.float(), dim=-1)
    mine = unit.gather(1, index[..., None].expand(-1, -1, keys.shape[-1]))
    # Cosines lie above -2, and NaN counts as -inf: the token itself must not even take the place of that.
    similar = (mine @ unit.mT).nan_to_num(nan=-2.0).scatter(2, index[..., None], float("-inf"))
    nearest = top_k_torch(similar, count=min(neighbours, keys.shape[1] - 1))
    weight = torch.zeros_like(similar).scatter(2, nearest, 1.0) * scores[:, None]
    weight = weight.scatter(2, index[..., None], 1.0)
    places = torch.arange(index.shape[1], device=index.device)[:, None]
    joined = scores[:, None] * (assign[:, None] == places)
    return joined.where((index == last)[..., None], weight)
