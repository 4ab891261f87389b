"""Greedy MAP inference of a determinantal point process: important tokens that are unlike each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .dispatch import LONGEST_ROW, runs_on_gpu

if TYPE_CHECKING:
    import torch

SPENT = 1e-6
"""What is left of a token's variance counts as nothing below this share of the largest one."""


def dpp_greedy(kernel: torch.Tensor, count: int) -> torch.Tensor:
    """Add, `count` times, the token that raises the determinant of the chosen submatrix most.

    Fast greedy MAP (arXiv:1709.05135, algorithm 1): each token keeps the variance that the chosen ones leave
    unexplained, and a row of the Cholesky factor updates it. Where no token has any left (float32 cannot tell less
    than SPENT of the largest from rounding), the earlier tokens follow in order, so that exactly K are chosen. Among
    equal variances the earlier token is taken; NaN in the kernel counts as 0.

    Args:
        kernel: (B, N, N) positive semi-definite, floating; symmetric.
        count: K, from 1 to N.

    Returns:
        (B, K) int64 in the order of selection. O(N K^2) time, O(N K) memory beside the kernel; one launch on a GPU.

    Example:
        >>> import torch
        >>> dpp_greedy(torch.tensor([[[2.0, 1.9, 0.0], [1.9, 2.0, 0.0], [0.0, 0.0, 1.0]]]), 2).tolist()
        [[0, 2]]
    """
    if kernel.shape[-1] <= LONGEST_ROW and runs_on_gpu(kernel):
        from .dpp_triton import dpp_greedy_triton

        return dpp_greedy_triton(kernel, count)
    if kernel.device.type == "cpu":
        return dpp_greedy_numpy(kernel, count)
    return dpp_greedy_torch(kernel, count)


def dpp_greedy_torch(kernel: torch.Tensor, count: int) -> torch.Tensor:
    """`dpp_greedy` as tensor operations, without a host synchronisation."""
    import torch

    kernel = kernel.float().nan_to_num(0.0)
    batch, tokens, _ = kernel.shape
    each = torch.arange(batch, device=kernel.device)
    left = kernel.diagonal(dim1=-2, dim2=-1)
    spent = left.amax(-1, keepdim=True).clamp(min=0) * SPENT
    factor = kernel.new_zeros(batch, count, tokens)
    order = []
    for step in range(count):
        left = left.where((left > spent) | (left == float("-inf")), left.new_zeros(()))
        chosen = left.argmax(-1)
        order.append(chosen)
        scale = left[each, chosen]
        known = factor[:, :step]
        row = kernel[each, chosen] - (known[each, :, chosen][:, None] @ known)[:, 0]
        row = torch.where(scale[:, None] > 0, row / scale.clamp(min=torch.finfo(row.dtype).tiny).sqrt()[:, None], 0)
        factor[:, step] = row
        left = (left - row.square()).scatter(-1, chosen[:, None], float("-inf"))
    return torch.stack(order, dim=-1)


def dpp_greedy_numpy(kernel: torch.Tensor, count: int) -> torch.Tensor:
    """`dpp_greedy` in numpy, whose calls on a few hundred numbers cost a fraction of torch's."""
    import numpy as np
    import torch

    tables = kernel.detach().float().numpy()
    if np.isnan(tables.sum()):
        tables = np.nan_to_num(tables, nan=0.0)
    order = np.empty((len(tables), count), dtype=np.int64)
    for table, found in zip(tables, order, strict=True):
        left = table.diagonal().copy()
        spent = max(left.max(), 0) * SPENT
        factor = np.empty((count, len(table)), dtype=np.float32)
        for step in range(count):
            left[(left <= spent) & (left != -np.inf)] = 0
            chosen = left.argmax()
            found[step] = chosen
            row = factor[step]
            np.dot(factor[:step, chosen], factor[:step], out=row)
            np.subtract(table[chosen], row, out=row)
            row *= left[chosen] ** -0.5 if left[chosen] > 0 else 0
            left -= row * row
            left[chosen] = -np.inf
    return torch.from_numpy(order)
