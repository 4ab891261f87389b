"""Costs of the primitives, as operations of the cost model."""

from __future__ import annotations

from ...ir.op import Op
from ...ir.polynomial import ROWS, as_polynomial


def attention_row_op(width: int) -> Op:
    """One query row over N keys of `width` channels in all heads: dot products, softmax, mean over the heads."""
    return Op("attention_row", "reduction", flops=2 * width * ROWS, elements=width * ROWS, launches=as_polynomial(4))
