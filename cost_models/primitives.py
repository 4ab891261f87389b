"""The passes' own primitives, timed as passes call them: ranking, similarity, attention rows, greedy steps, means."""

from __future__ import annotations

from collections.abc import Iterator

from ..ir.op import Op
from ..ir.polynomial import BATCH, CONTEXT, ROWS, TOKENS, as_polynomial
from .sweep import REPEATS, Bench, Case, repeated

_PICTURES = ((64, 256), (196, 768), (576, 1024))
"""(tokens, channels) of small, middling and large pictures."""


def primitive_cases(on: Bench) -> Iterator[Case]:
    """Every primitive over small to large pictures, beside the op by which passes state its cost."""
    for tokens, width in _PICTURES:
        yield _similarity(on, tokens, width)
        yield _attention_row(on, tokens, width)
        yield _group_means(on, tokens, width)
        for kept in (tokens // 8, tokens // 2):
            yield _top_k(on, tokens, kept)
            yield _greedy(on, tokens, width, kept)


def _similarity(on: Bench, tokens: int, width: int) -> Case:
    """Cosines of all pairs: a matrix product without weights."""
    from ..kernels.max_min import cosine_distances

    pairs = BATCH * TOKENS * TOKENS
    op = Op("similarity", "gemm", 2 * width * pairs, 2 * width * ROWS + pairs, launches=as_polynomial(4), inner=width)
    return Case(op, 1, tokens, 0, repeated(cosine_distances, on.tensor(1, tokens, width)), REPEATS)


def _attention_row(on: Bench, tokens: int, width: int) -> Case:
    """What one query pays to every token, softmax included, as the mean over heads."""
    from ..kernels.thin_attention import thin_attention

    query, key = on.tensor(1, width // 64, 1, 64), on.tensor(1, width // 64, tokens, 64)
    op = Op("attention_row", "reduction", 2 * width * ROWS, width * ROWS, launches=as_polynomial(4))
    return Case(op, 1, tokens, 0, repeated(thin_attention, query, key, scale=0.125), REPEATS)


def _top_k(on: Bench, tokens: int, kept: int) -> Case:
    """The highest scores, in order of position."""
    from .sweep import highest

    op = Op("top_k", "selection", ROWS, 4 * ROWS + 4 * BATCH * CONTEXT, launches=as_polynomial(3))
    return Case(op, 1, tokens, kept, repeated(highest, on.tensor(1, tokens), kept), REPEATS)


def _greedy(on: Bench, tokens: int, width: int, kept: int) -> Case:
    """Farthest-first selection: a few small steps for every token that is kept."""
    from ..kernels.max_min import cosine_distances, farthest_first

    distance = cosine_distances(on.tensor(1, tokens, width))
    distance.diagonal(dim1=-2, dim2=-1).fill_(float("-inf"))
    start = distance.argmax(dim=-1)[:, 0]
    op = Op("greedy", "reduction", 2 * ROWS * CONTEXT, 3 * ROWS * CONTEXT, launches=4 * CONTEXT)
    return Case(op, 1, tokens, kept, repeated(farthest_first, distance, start, count=kept, repeats=1))


def _group_means(on: Bench, tokens: int, width: int) -> Case:
    """Sums of the tokens that joined each group, as merging takes them."""
    import torch

    groups, rows = tokens // 4, on.tensor(tokens, width)
    joined = torch.arange(tokens, device=on.device) % groups
    total = torch.zeros(groups, width, device=on.device, dtype=on.dtype)
    elements = 3 * width * ROWS + 2 * width * BATCH * CONTEXT
    op = Op("merge", "gather", 2 * width * ROWS, elements, launches=as_polynomial(8))
    return Case(op, 1, tokens, groups, repeated(total.index_add, 0, joined, rows), REPEATS)
