"""PACT: drop what matters little to the mean query, cluster the rest by keys, and let attention count the clusters."""

from __future__ import annotations

from dataclasses import dataclass

from .base import register
from .pact_unweighted import PACTUnweighted


@register
@dataclass(frozen=True)
class PACT(PACTUnweighted):
    """EUTI pruning and DBDPC clustering with proportional attention (arXiv:2504.08966).

    The choice and the means are those of `pact-unweighted`. From the site's layer on, and while decoding, log(size) is
    added to the scores of a cluster's key, its size being the number of tokens in its mean, recovered ones included; so
    attention takes a cluster for as many tokens as it stands for. With `adaptive` this is the published method.

    Such a mask is an explicit one, so layers after the site lose the fast path of plain causal attention, and flash
    attention, which takes no mask that adds, is refused.
    """

    name = "pact"
    summary = "drop what the mean query ignores, merge the rest into dense key clusters that count by their size"

    @property
    def weighs_attention(self) -> bool:
        """The proportional attention."""
        return True
