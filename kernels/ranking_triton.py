"""Parts that several Triton kernels share: ranks of floats, the highest of a row, the first arg-max."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def rank_keys(scores: tl.tensor) -> tl.tensor:
    """int32 keys that order as the scores do; NaN ranks with -inf, and -0 with 0.

    The bits of a positive float grow with its value; those of a negative one fall, so they are turned round. The
    smallest int32 is no score's key and can stand for what lies outside a row.
    """
    value = scores.to(tl.float32)
    value = tl.where(value != value, float("-inf"), value)
    value = tl.where(value == 0.0, 0.0, value)
    bits = value.to(tl.int32, bitcast=True)
    return tl.where(bits < 0, bits ^ 0x7FFFFFFF, bits)


@triton.jit
def row_keys(scores: tl.tensor, columns: tl.tensor, stride: tl.tensor, tokens: tl.tensor) -> tl.tensor:
    """Keys of the scores at `columns` of a row that starts at `scores`; the smallest int32 where the row has ended."""
    inside = columns < tokens
    found = tl.load(scores + columns * stride, mask=inside, other=0.0)
    return tl.where(inside, rank_keys(found), -(2**31))


@triton.jit
def threshold_key(keys: tl.tensor, count: tl.tensor) -> tl.tensor:
    """The `count`-th largest key: the largest threshold that at least `count` keys reach.

    Bisection: 32 reductions, no sort. At least `count` keys must be above the smallest int32.
    """
    low = tl.full((), -(2**31), tl.int64)
    high = tl.full((), 2**31 - 1, tl.int64)
    for _ in range(32):
        middle = (low + high + 1) >> 1
        enough = tl.sum((keys >= middle.to(tl.int32)).to(tl.int32), axis=0) >= count
        low = tl.where(enough, middle, low)
        high = tl.where(enough, high, middle - 1)
    return low.to(tl.int32)


@triton.jit
def highest(keys: tl.tensor, count: tl.tensor) -> tl.tensor:
    """Mask of the `count` largest keys of a row; among equal keys the earlier ones are taken.

    At least `count` keys must be above the smallest int32.
    """
    threshold = threshold_key(keys, count)
    above = keys > threshold
    equal = keys == threshold
    spare = count - tl.sum(above.to(tl.int32), axis=0)
    return above | (equal & (tl.cumsum(equal.to(tl.int32), axis=0) <= spare))


@triton.jit
def first_largest(values: tl.tensor, positions: tl.tensor) -> tl.tensor:
    """The smallest of `positions` at which `values`, free of NaN, has its maximum."""
    return tl.min(tl.where(values == tl.max(values, axis=0), positions, 2**31 - 1), axis=0)
