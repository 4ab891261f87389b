"""Operators that torch's exporter does not translate, or not as exactly as passes need them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """By torch operator, a function that writes it in ONNX; for `torch.onnx.export(custom_translation_table=)`."""
    import onnxscript
    import torch

    op: Any = onnxscript.opset18

    def stable_sort(self: Any, stable: bool = False, dim: int = -1, descending: bool = False) -> Any:
        """TopK of everything: among equal values it puts the lower index first, as a stable sort does."""
        narrow = self.dtype is not None and self.dtype.name in ("UINT8", "INT8", "BOOL")
        values = op.Cast(self, to=_INT32) if narrow else self  # onnxruntime ranks no bytes
        everything = op.Gather(op.Shape(self), op.Constant(value_ints=[dim]), axis=0)
        ranked, order = op.TopK(values, everything, axis=dim, largest=int(descending), sorted=1)
        return (op.CastLike(ranked, self) if narrow else ranked), order

    def sort(self: Any, dim: int = -1, descending: bool = False) -> Any:
        return stable_sort(self, True, dim, descending)

    def cummax(self: Any, dim: int) -> Any:
        """Running maxima by doubling strides; of equal values torch names the last index, and so does this."""
        length = int(self.shape[dim])
        values = self
        order = op.Expand(op.Constant(value_ints=list(range(length))), op.Shape(self))  # along the last dimension
        stride = 1
        while stride < length:
            values, order = _doubled(op, values, order, dim, stride)
            stride *= 2
        return values, order

    return {
        torch.ops.aten.cummax.default: cummax,
        torch.ops.aten.sort.stable: stable_sort,
        torch.ops.aten.sort.default: sort,
    }


def _doubled(op: Any, values: Any, order: Any, dim: int, stride: int) -> tuple[Any, Any]:
    """Each value and its index, or those `stride` before it where they are larger."""
    ends = op.Constant(value_ints=[-stride])
    axis, start, step = op.Constant(value_ints=[dim]), op.Constant(value_ints=[0]), op.Constant(value_ints=[stride])
    limit = op.Constant(value_ints=[_END])
    head, order_head = (op.Slice(each, start, step, axis) for each in (values, order))
    before, order_before = (op.Slice(each, start, ends, axis) for each in (values, order))
    later, order_later = (op.Slice(each, step, limit, axis) for each in (values, order))
    larger = op.Greater(before, later)
    return (
        op.Concat(head, op.Where(larger, before, later), axis=dim),
        op.Concat(order_head, op.Where(larger, order_before, order_later), axis=dim),
    )


_END = 2**62
"""Past the end of any dimension."""

_INT32 = 6
"""`onnx.TensorProto.INT32`."""
