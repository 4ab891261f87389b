"""FastV: after a few decoder layers, the last prompt token's attention says which media tokens matter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..ir.layout import Layout
from ..ir.op import Op
from ..ir.signal import Need, last_row
from .base import Tokens, register
from .primitives.costs import attention_row_op
from .score import ScorePass

if TYPE_CHECKING:
    import torch


@register
@dataclass(frozen=True)
class FastV(ScorePass):
    """Keep the media tokens that the last prompt token attends to most in the layer before the site.

    arXiv:2403.06764, section 4. The paper's equation averages the attention received from all tokens; the public code
    reads only the last prompt token's row, averaged over heads, and that is what is done here. K of the paper is the
    site: its default K = 2 is `decoder.layers.2`; R is 1 - keep.
    """

    name = "fastv"
    source = "arXiv:2403.06764"
    summary = "keep the tokens that the last prompt token attends to most in the layer before"
    mechanism = "attention"
    sites = ("decoder.layer",)
    consumes = ("attention", "task")
    query_aware = True
    catalog_id = "fastv"

    def needs(self, layout: Layout) -> tuple[Need, ...]:
        """The last prompt token's row in the layer before the site."""
        return (last_row(),)

    def score_ops(self, layout: Layout, width: int) -> tuple[Op, ...]:
        """One thin attention row."""
        return (attention_row_op(width),)

    def score(self, tokens: Tokens) -> torch.Tensor:
        """The attention that the last prompt token pays to each media token, (B, N)."""
        return tokens.signal(last_row())
