"""The arguments of a recorded call at another batch and token count."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._pytree import tree_map

from .recorder import Call
from .shapes import tensors_in

_LARGE = 1 << 18


@dataclass(frozen=True)
class Extent:
    """How many tokens a call was given: `batch` sequences of `tokens`.

    Attributes:
        packed: whether the sequences stand one after the other in a single dimension.
        grid: whether the tokens stand in a grid of two dimensions, whose count cannot be varied.
        width: channels of the hidden states.
    """

    batch: int
    tokens: int
    packed: bool = False
    grid: bool = False
    width: int = 0

    @property
    def rows(self) -> int:
        """Token rows of the call."""
        return self.batch * self.tokens


def extent_of(call: Call, *, batch: int | None = None) -> Extent | None:
    """The extent of a call by its first learned tensor, None where it has none of two or more dimensions.

    `batch` says how many sequences are packed into it where they do not show from the call itself (windows).
    """
    hidden = hidden_states(call.args, call.kwargs)
    if hidden is None or hidden.dim() < 2:
        return None
    if hidden.dim() == 3:
        return Extent(hidden.shape[0], hidden.shape[1], width=hidden.shape[2])
    if hidden.dim() > 3:
        rows = math.prod(hidden.shape[:-1])
        count = hidden.shape[0] if hidden.dim() == 4 else 1
        return Extent(count, rows // count, grid=True, width=hidden.shape[-1])
    rows = hidden.shape[0]
    batch = batch if batch and rows % batch == 0 else segments(call, rows) or 1
    return Extent(batch, rows // batch, packed=True, width=hidden.shape[1])


def hidden_states(args: Any, kwargs: Any) -> torch.Tensor | None:
    """The first floating-point tensor on meta among the arguments."""
    named = [kwargs[key] for key in ("hidden_states", "inputs_embeds", "x") if key in kwargs]
    for tensor in [*tensors_in(args), *tensors_in(named), *tensors_in(kwargs)]:
        if tensor.is_meta and tensor.dtype.is_floating_point:
            return tensor
    return None


def first_shape(output: Any) -> tuple[int, ...] | None:
    """Shape of the first floating-point tensor in a module's output."""
    values = list(output.values()) if hasattr(output, "values") and not isinstance(output, torch.Tensor) else output
    return next((tuple(t.shape) for t in tensors_in(values) if t.dtype.is_floating_point), None)


def segments(call: Call, rows: int) -> int:
    """Sequences packed into `rows` rows, by cumulative lengths among the arguments; 0 where uneven or absent."""
    for tensor in [*tensors_in(call.args), *tensors_in(call.kwargs)]:
        if is_cumulative(tensor, rows):
            lengths = tensor.diff()
            return len(lengths) if bool((lengths == lengths[0]).all()) else 0
    return 0


def is_cumulative(tensor: torch.Tensor, rows: int) -> bool:
    """Whether a tensor holds cumulative lengths 0 .. rows."""
    integers = not tensor.is_meta and tensor.dim() == 1 and not tensor.dtype.is_floating_point and len(tensor) > 1
    return integers and tensor.dtype != torch.bool and int(tensor[0]) == 0 and int(tensor[-1]) == rows


class CannotResize(Exception):
    """The call's arguments have no meaning at another count."""


def resized(call: Call, old: Extent, new: Extent) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The call's arguments with `new.batch` sequences of `new.tokens` in place of `old`.

    Raises:
        CannotResize: uneven segments or a grid.
    """
    if old.grid and old.tokens != new.tokens:
        raise CannotResize
    hidden = hidden_states(call.args, call.kwargs)

    def change(value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return new.tokens if type(value) is int and value == old.tokens and old.packed else value
        if old.packed:
            return _packed(value, old, new)
        return _batched(value, old, new, first=value is hidden)

    return tree_map(change, call.args), tree_map(change, dict(call.kwargs))


def _batched(tensor: torch.Tensor, old: Extent, new: Extent, *, first: bool) -> torch.Tensor:
    for dim, size in enumerate(tensor.shape):
        if dim == 0 and size == old.batch and (first or size > 1):
            tensor = _resize(tensor, dim, new.batch)
        elif size == old.tokens and not old.grid and not _is_width(tensor, dim, old):
            tensor = _resize(tensor, dim, new.tokens)
    return tensor


def _is_width(tensor: torch.Tensor, dim: int, old: Extent) -> bool:
    """Whether a last dimension as long as the tokens holds channels: where the hidden states are as wide as long."""
    last = dim == tensor.dim() - 1 and dim > 0 and tensor.dtype.is_floating_point
    return last and old.width == old.tokens and tensor.shape[-2:] != (old.tokens, old.tokens)


def _packed(tensor: torch.Tensor, old: Extent, new: Extent) -> torch.Tensor:
    if is_cumulative(tensor, old.rows):
        return _cumulative(tensor, old, new)
    for dim, size in enumerate(tensor.shape):
        if size == old.rows and not (dim == tensor.dim() - 1 and dim > 0 and size == old.width):
            tensor = _resize(tensor, dim, new.rows)
    return tensor


def _cumulative(tensor: torch.Tensor, old: Extent, new: Extent) -> torch.Tensor:
    """Cumulative lengths over the new rows: sequences where they were sequences, windows where they were windows."""
    lengths = tensor.diff()
    if not bool((lengths == lengths[0]).all()):
        raise CannotResize
    length = new.tokens if len(lengths) == old.batch else int(lengths[0])
    if new.rows % length:
        raise CannotResize
    return torch.arange(0, new.rows + 1, length, dtype=tensor.dtype)


def _resize(tensor: torch.Tensor, dim: int, size: int) -> torch.Tensor:
    if tensor.is_meta:
        return _restrided(tensor, dim, size)
    if tensor.numel() > _LARGE:  # values of a mask this large decide no shape
        return tensor.new_empty([*tensor.shape[:dim], size, *tensor.shape[dim + 1 :]], device="meta")
    index = torch.arange(size).clamp(max=tensor.shape[dim] - 1)
    return tensor.index_select(dim, index)


def _restrided(tensor: torch.Tensor, dim: int, size: int) -> torch.Tensor:
    """A shape with another size in one dimension, laid out as before: a slice stays a slice, and is copied as one."""
    shape, strides = list(tensor.shape), list(tensor.stride())
    if shape[dim] == 1:  # a single sequence is never copied, so that more of them must not be either
        return tensor.new_empty([*shape[:dim], size, *shape[dim + 1 :]])
    reach = strides[dim] * shape[dim]
    for other, stride in enumerate(strides):
        if other != dim and reach and stride >= reach:
            strides[other] += stride // reach * (size - shape[dim]) * strides[dim]
    shape[dim] = size
    return torch.empty_strided(shape, strides, dtype=tensor.dtype, device="meta")
