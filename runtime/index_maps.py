"""Index maps between the original sequence and the compressed one; pure functions of tensors."""

from __future__ import annotations

import torch


def placeholder_positions(mask: torch.Tensor, total: int) -> torch.Tensor:
    """Flat positions of the `total` set entries of `mask`, in order.

    Args:
        mask: (B, L) bool with exactly `total` set entries.

    Returns:
        (total,) int64 into the flattened (B * L). No host synchronisation, unlike `nonzero`.
    """
    return mask.reshape(-1).to(torch.uint8).argsort(descending=True, stable=True)[:total]


def compaction_index(keep: torch.Tensor, width: int, *, pad_left: bool) -> torch.Tensor:
    """For each row the positions that are kept, in order, in `width` columns.

    Rows that keep fewer are filled with positions that are not kept, before them (`pad_left`) or after them.

    Args:
        keep: (B, L) bool. width: the largest number kept in any row.

    Returns:
        (B, width) int64.
    """
    if pad_left:
        return keep.to(torch.uint8).argsort(dim=-1, stable=True)[:, keep.shape[1] - width :]
    return (~keep).to(torch.uint8).argsort(dim=-1, stable=True)[:, :width]


def inverse_map(index: torch.Tensor, length: int) -> torch.Tensor:
    """(B, length) int64: where each original position stands in `index` (B, P); undefined for dropped positions."""
    places = torch.arange(index.shape[1], device=index.device).expand_as(index)
    return index.new_zeros(index.shape[0], length).scatter_(1, index, places)


def gather_sequence(tensor: torch.Tensor, index: torch.Tensor, *, dim: int = 1) -> torch.Tensor:
    """Rows of `tensor` along the sequence dimension `dim`, row by row of the batch dimension before it.

    Args:
        tensor: (..., B or 1, L, ...) where `dim` is the place of L.
        index: (B, P) int64.

    Returns:
        (..., B, P, ...).
    """
    dim %= tensor.ndim
    batch, count = index.shape
    shape = list(tensor.shape)
    shape[dim - 1], shape[dim] = batch, count
    view = [1] * tensor.ndim
    view[dim - 1], view[dim] = batch, count
    full = list(tensor.shape)
    full[dim - 1] = batch
    return tensor.expand(full).gather(dim, index.view(view).expand(shape))


def gather_mask(
    mask: torch.Tensor | None, columns: torch.Tensor, rows: torch.Tensor | None = None
) -> torch.Tensor | None:
    """An attention mask for a compacted sequence.

    Args:
        mask: (B or 1, keys), (B or 1, heads or 1, queries, keys), or None.
        columns: (B, K) int64, key positions that remain. rows: (B, Q) int64, query positions that remain; None keeps
            all.
    """
    if mask is None:
        return None
    if mask.ndim == 2:
        return gather_sequence(mask, columns)
    if rows is not None:
        mask = _gather_4d(mask, rows, dim=2)
    return _gather_4d(mask, columns, dim=3)


def _gather_4d(mask: torch.Tensor, index: torch.Tensor, *, dim: int) -> torch.Tensor:
    shape = list(mask.shape)
    shape[0], shape[dim] = index.shape
    view = [index.shape[0], 1, 1, 1]
    view[dim] = index.shape[1]
    full = [index.shape[0], *mask.shape[1:]]
    return mask.expand(full).gather(dim, index.view(view).expand(shape))
