"""The passes' own primitives, timed as passes call them: ranking, similarity, attention rows, greedy steps, means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ..ir.op import Op
from ..ir.polynomial import BATCH, CONTEXT, ROWS, TOKENS, as_polynomial
from .latency import Pricer
from .parts import PASSES, PartError
from .report import part_error
from .sweep import REPEATS, Bench, Case, repeated

# Strength of the prior that primitives cost what their ops say, in cases.
_PRIOR_CASES = 1.0

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


def fit_primitives(
    pricer: Pricer, cases: Sequence[Case], seconds: NDArray[np.float64]
) -> tuple[dict[str, float], dict[str, PartError]]:
    """Scales and errors of the passes' work: `passes.NAME` for the primitive of each op's name, `passes` for the rest.

    Args:
        pricer: of the fitted curves. cases: the primitives. seconds: (n,) measured time of each.
    """
    names = np.array([case.op.name for case in cases])
    counts = [{"batch": case.batch, "tokens": case.tokens, "context": case.context} for case in cases]
    predicted = np.array([float(pricer.op_ms(c.op, **at)) for c, at in zip(cases, counts, strict=True)])
    scales, errors = {}, {}
    for part, chosen in {PASSES: names != "", **{f"{PASSES}.{name}": names == name for name in names}}.items():
        logs = np.log(1e3 * seconds[chosen] / predicted[chosen])
        scale = float(np.exp(logs.sum() / (len(logs) + _PRIOR_CASES)))
        scales[part] = round(scale, 4)
        errors[part] = part_error((scale * predicted[chosen]).tolist(), (1e3 * seconds[chosen]).tolist())
    return scales, errors


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
