"""Keys and values of cross-attention: decoder layers hold their weights, but they run over the encoder's tokens."""

from __future__ import annotations

from dataclasses import replace

from ..graph import CROSS_ATTENTION, Layer
from ..op import Op
from ..polynomial import ROWS
from .stages import Draft


def hand_over(decoder: Draft, source: Draft) -> None:
    """Move the products over what leaves `source` from the layers of `decoder` into a layer at the end of `source`.

    They run once in a prefill, over as many tokens as arrive, and not again in decode steps, which read a cache.
    """
    rows = source.sequences * source.tokens_after
    moved: list[Op] = []
    for place, layer in enumerate(decoder.layers):
        across = [op for op in layer.ops if _rows(op, decoder, place) == rows]
        if across and rows != decoder.sequences * decoder.tokens[place]:
            moved += [_over_tokens(op, layer.name) for op in across]
            decoder.layers[place] = Layer(layer.name, tuple(op for op in layer.ops if op not in across))
    if moved:
        source.layers.append(Layer(CROSS_ATTENTION, tuple(moved)))
        source.tokens.append(source.tokens_after)


def _rows(op: Op, draft: Draft, place: int) -> float:
    """Rows that a matrix product runs over in a layer of `draft`; 0 for other operations."""
    if op.kind != "gemm" or not (op.inner and op.outer and op.weights):
        return 0.0
    tokens = draft.tokens[place]
    return float(op.flops(batch=draft.sequences, tokens=tokens, context=tokens)) / (2 * op.inner * op.outer)


def _over_tokens(op: Op, layer: str) -> Op:
    return replace(
        op,
        name=f"{layer}.{op.name}",
        flops=2 * op.inner * op.outer * ROWS,
        elements=(op.inner + op.outer) * ROWS,
        convention=None,
    )
