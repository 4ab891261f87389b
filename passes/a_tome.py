"""A-ToMe: neighbours in time whose attention keys are alike become one."""

from __future__ import annotations

from dataclasses import dataclass

from ..ir.layout import Layout
from ..ir.op import Op
from ..ir.signal import Need, latest_key
from .base import Compression, Pass, Tokens, register
from .primitives.costs import merge_op, row_ops, top_k_op
from .primitives.neighbours import chained, neighbour_cosines

_HEAD = 64
"""Channels of a head, for the price of comparing keys."""


@register
@dataclass(frozen=True)
class AToMe(Pass):
    """Adjacent token merging by a fixed ratio, between attention and MLP (arXiv:2306.16009).

    The N - K pairs of neighbours whose attention keys have the highest cosine merge by averaging; chains of them become
    one mean, at the place of their first token, and the order stays. The keys' heads are averaged, as in ToMe. It is
    published with training, and runs without; `a-tome-output` does the same to the tokens that leave the encoder.
    """

    name = "a-tome"
    source = "arXiv:2306.16009"
    summary = "merge neighbours in time whose attention keys are alike, inside the encoder"
    mechanism = "similarity"
    modalities = ("audio",)
    sites = ("encoder.layer.mid",)
    consumes = ("temporal", "feature")
    catalog_id = "a-tome"
    training = "both"

    def needs(self, layout: Layout) -> tuple[Need, ...]:
        """The keys of the attention that has just run."""
        return (latest_key(),)

    def ops(self, layout: Layout, width: int) -> tuple[Op, ...]:
        """Cosines with the neighbour, a ranking and the merge."""
        return row_ops("neighbour_cosine", _HEAD, launches=7), top_k_op(), merge_op(width)

    def compress(self, tokens: Tokens, target: Layout) -> Compression:
        """The first tokens of the chains, with their means."""
        keys = tokens.signal(latest_key()).float().mean(dim=2)
        return Compression(*chained(neighbour_cosines(keys), target.count))
