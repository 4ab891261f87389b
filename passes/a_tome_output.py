"""A-ToMe at the output of the encoder: neighbours in time that are alike become one."""

from __future__ import annotations

from dataclasses import dataclass

from ..ir.layout import Layout
from ..ir.op import Op
from .base import Compression, Pass, Tokens, register
from .primitives.costs import merge_op, row_ops, top_k_op
from .primitives.neighbours import chained, neighbour_cosines


@register
@dataclass(frozen=True)
class AToMeOutput(Pass):
    """Adjacent token merging by a fixed ratio (arXiv:2306.16009), on the tokens that leave the encoder.

    The N - K pairs of neighbours with the highest cosine merge; chains of them become one mean, at the place of their
    first token, and the order stays. A named variant: the paper merges by the attention keys inside some encoder layers
    and trains with it; here similarity is that of the features at the site.
    """

    name = "a-tome-output"
    source = "arXiv:2306.16009"
    summary = "merge neighbours in time that are alike"
    mechanism = "similarity"
    modalities = ("audio",)
    sites = ("encoder.output", "projector.output")
    consumes = ("temporal", "feature")
    catalog_id = "a-tome"
    training = "both"

    def ops(self, layout: Layout, width: int) -> tuple[Op, ...]:
        """Cosines with the neighbour, a ranking and the merge."""
        return row_ops("neighbour_cosine", width, launches=6), top_k_op(), merge_op(width)

    def compress(self, tokens: Tokens, target: Layout) -> Compression:
        """The first tokens of the chains, with their means."""
        return Compression(*chained(neighbour_cosines(tokens.features), target.count))
