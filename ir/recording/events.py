"""One aten operation as it was recorded: shapes, not numbers, and the cost that follows from them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ..op import OpKind

Shape = tuple[int, ...]

_MATMULS = {"mm", "addmm", "bmm", "baddbmm", "_grouped_mm", "transformers::grouped_mm_fallback", "addbmm", "linear"}
_NORMS = {"native_layer_norm", "native_group_norm", "_fused_rms_norm", "native_batch_norm", "cudnn_batch_norm"}
_MOVES = {
    *("embedding", "index", "index_select", "index_put", "index_put_", "gather", "scatter", "masked_scatter", "cat"),
    *("stack", "clone", "copy_", "_to_copy", "constant_pad_nd", "slice_scatter", "select_scatter", "repeat", "roll"),
    *("index_add", "index_add_", "scatter_add", "scatter_", "masked_select", "flip", "im2col", "reflection_pad1d"),
}
_REDUCTIONS = {
    *("mean", "sum", "amax", "amin", "max", "min", "any", "all", "prod", "var", "std", "linalg_vector_norm", "cumsum"),
    *("argmax", "argmin", "avg_pool2d", "avg_pool1d", "max_pool2d_with_indices", "_adaptive_avg_pool2d", "logsumexp"),
}
_SELECTIONS = {"topk", "sort", "argsort", "unique_consecutive", "_unique2"}
_TRANSCENDENTAL = {"gelu", "silu", "sigmoid", "tanh", "exp", "softplus", "_softmax", "erf", "elu", "mish", "pow", "sin"}
_FLOPS_PER_TRANSCENDENTAL = 8


@dataclass(frozen=True)
class AttentionShape:
    """One fused attention: (sequences, heads, queries, head width) over (sequences, key heads, keys, head width).

    Attributes:
        causal: whether it was asked to hide later keys without a mask.
        full_mask: whether its mask is known to hide nothing.
    """

    batch: int
    heads: int
    key_value_heads: int
    queries: int
    keys: int
    width: int
    value_width: int
    causal: bool = False
    full_mask: bool = False

    @property
    def flops(self) -> int:
        """Two multiply-adds for each query, key, head and channel: the convention of papers."""
        return 2 * self.batch * self.heads * self.queries * self.keys * (self.width + self.value_width)

    @property
    def query_elements(self) -> int:
        """Elements of queries read and of results written."""
        return self.batch * self.heads * self.queries * (self.width + self.value_width)

    @property
    def key_elements(self) -> int:
        """Elements of keys and values read."""
        return self.batch * self.key_value_heads * self.keys * (self.width + self.value_width)


@dataclass(frozen=True)
class Event:
    """One operation that ran.

    Attributes:
        path: dotted name of the module whose forward ran it; `owner` is that module's class.
        name: aten's name without overload, or `attention`.
        read, written: activation elements. weights: parameter elements read.
        flops: by the convention of torch's flop counter; 0 for what it does not count.
        inner, outer: contracted and output width of a matrix product.
        causal, window: what its module says of its attention: whether later keys are hidden, how many keys are seen.
        operands: shapes of the two factors of a batched product, from which unfused attention is recognised.
        attention: the shapes of a fused attention.
    """

    path: str
    owner: str
    name: str
    read: int
    written: int
    weights: int = 0
    flops: int = 0
    inner: int = 0
    outer: int = 0
    causal: bool = False
    window: int | None = None
    operands: tuple[Shape, ...] = ()
    attention: AttentionShape | None = None

    @property
    def kind(self) -> OpKind:
        """The op kind that limits it."""
        if self.attention is not None:
            return "attention"
        if self.name in _MATMULS:
            return "gemm"
        if self.name == "convolution":
            return "convolution"
        if self.name in _NORMS or "Norm" in self.owner:
            return "normalization"
        return _plain_kind(self.name)

    @property
    def executed(self) -> int:
        """Floating-point operations of any kind."""
        if self.flops or self.kind in ("gather", "selection"):
            return self.flops
        return self.written * (_FLOPS_PER_TRANSCENDENTAL if self.name.rstrip("_") in _TRANSCENDENTAL else 1)


def _plain_kind(name: str) -> OpKind:
    if name in _MOVES:
        return "gather"
    if name in _REDUCTIONS:
        return "reduction"
    return "selection" if name in _SELECTIONS else "elementwise"


def matmul_shape(left: Shape, right: Shape) -> tuple[int, int, int]:
    """(FLOPs, contracted width, output width) of a matrix product of these operands; batches count by the left one."""
    return 2 * math.prod(left) * right[-1], left[-1], right[-1]


def convolution_shape(source: Shape, weight: Shape, target: Shape, transposed: Any) -> tuple[int, int, int]:
    """(FLOPs, contracted width, output width) of a convolution, as torch's counter has it."""
    spatial = source if transposed else target
    per_cell = math.prod(weight)
    flops = 2 * source[0] * math.prod(spatial[2:]) * per_cell
    return flops, math.prod(weight[1:]), weight[0]
