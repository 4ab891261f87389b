"""Exact products, and one tile of cosines between two sets of tokens, for the kernels that reduce it at once."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

SMALLEST_NORM = tl.constexpr(1e-12)
INTERPRETED = tl.constexpr(triton.knobs.runtime.interpret)


@triton.jit
def exact_dot(left: tl.tensor, right: tl.tensor, summed: tl.tensor) -> tl.tensor:
    """summed + left @ right, in float32 throughout: float32 factors are never rounded to tf32."""
    if INTERPRETED:  # whose product of bfloat16 tiles multiplies their bit patterns
        left, right = left.to(tl.float32), right.to(tl.float32)
    return tl.dot(left, right, summed, input_precision="ieee")


@triton.jit
def cosine_tile(
    left: tl.tensor,
    right: tl.tensor,
    left_offset: tl.tensor,
    right_offset: tl.tensor,
    left_inside: tl.tensor,
    right_inside: tl.tensor,
    width: tl.tensor,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    CHANNELS: tl.constexpr,
) -> tl.tensor:
    """(ROWS, COLUMNS) float32 cosines; offsets (ROWS,) and (COLUMNS,) say where each token's channels start.

    Norms below 1e-12 count as 1e-12, as in torch's normalize. The channels are read CHANNELS at a time.
    """
    products = tl.zeros((ROWS, COLUMNS), tl.float32)
    left_square = tl.zeros((ROWS,), tl.float32)
    right_square = tl.zeros((COLUMNS,), tl.float32)
    for start in range(0, width, CHANNELS):
        channels = start + tl.arange(0, CHANNELS)
        inside = channels < width
        some = left_inside[:, None] & inside[None, :]
        others = right_inside[:, None] & inside[None, :]
        a = tl.load(left + left_offset[:, None] + channels[None, :], mask=some, other=0.0)
        b = tl.load(right + right_offset[:, None] + channels[None, :], mask=others, other=0.0)
        products = exact_dot(a, tl.trans(b), products)
        left_square += tl.sum(a.to(tl.float32) * a.to(tl.float32), axis=1)
        right_square += tl.sum(b.to(tl.float32) * b.to(tl.float32), axis=1)
    left_norm = tl.maximum(tl.sqrt(left_square), SMALLEST_NORM)
    right_norm = tl.maximum(tl.sqrt(right_square), SMALLEST_NORM)
    return products / left_norm[:, None] / right_norm[None, :]


def channels_at_once(features: torch.Tensor) -> int:
    """Channels of a tile, for CHANNELS: products of float32 tiles are unrolled into registers; wider ones spill."""
    return 16 if features.dtype == torch.float32 else 32
