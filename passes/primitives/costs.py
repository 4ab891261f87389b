"""Costs of the primitives, as operations of the cost model."""

from __future__ import annotations

from ...ir.op import Op
from ...ir.polynomial import BATCH, CONTEXT, ROWS, TOKENS, Polynomial, as_polynomial


def attention_row_op(width: int) -> Op:
    """One query row over N keys of `width` channels in all heads: dot products, softmax, mean over the heads."""
    return Op("attention_row", "reduction", flops=2 * width * ROWS, elements=width * ROWS, launches=as_polynomial(4))


def attention_column_op(width: int) -> Op:
    """Every query row over N keys, summed up: q k^T in chunks of queries, softmax and the mean over heads and queries.

    The scores of a chunk are written and read once; heads are taken to be 64 channels wide.
    """
    pairs = BATCH * TOKENS * TOKENS
    heads = max(1, width // 64)
    elements = 2 * width * ROWS + 3 * heads * pairs
    return Op("attention_column", "attention", flops=2 * width * pairs, elements=elements, inner=64, outer=heads)


def preview_op(width: int) -> Op:
    """Queries, keys and values of the next layer computed in advance: three maps of `width` channels at the most."""
    return Op(
        "preview",
        "gemm",
        flops=6 * width * width * ROWS,
        elements=4 * width * ROWS,
        weights=3 * width * width,
        launches=as_polynomial(8),
        inner=width,
        outer=3 * width,
    )


def similarity_op(width: int, *, pairs: Polynomial | None = None, launches: int = 4) -> Op:
    """Cosine similarities of `pairs` of tokens (None: of all N with the K that are kept), as one product."""
    number = BATCH * TOKENS * CONTEXT if pairs is None else pairs
    return Op(
        "similarity",
        "gemm",
        flops=2 * width * number,
        elements=2 * width * ROWS + number,
        launches=as_polynomial(launches),
        inner=width,
    )


def row_ops(name: str, width: int, *, launches: int = 4) -> Op:
    """Work of a few operations on every channel of every token, such as norms and cosines with one other token."""
    return Op(name, "reduction", flops=6 * width * ROWS, elements=3 * width * ROWS, launches=as_polynomial(launches))


def merge_op(width: int) -> Op:
    """Sums of N tokens into K groups, and their means."""
    elements = 3 * width * ROWS + 2 * width * BATCH * CONTEXT
    return Op("merge", "gather", flops=2 * width * ROWS, elements=elements, launches=as_polynomial(8))


def top_k_op() -> Op:
    """Ranking N scores and sorting the K indices that are kept."""
    elements = 4 * ROWS + 4 * BATCH * CONTEXT
    return Op("top_k", "selection", flops=ROWS, elements=elements, launches=as_polynomial(3))
