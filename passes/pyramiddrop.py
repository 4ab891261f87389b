"""PyramidDrop: at several depths, the tokens that the last prompt token looks at in the layer to come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..ir.layout import Layout
from ..ir.op import Op
from ..ir.signal import Need, last_row
from .base import Tokens, register
from .primitives.costs import attention_row_op, preview_op
from .score import ScorePass

if TYPE_CHECKING:
    import torch


@register
@dataclass(frozen=True)
class PyramidDrop(ScorePass):
    """One stage of PyramidDrop (arXiv:2410.17247): rank by the last prompt token's row, drop the lowest.

    As in the public code the row is computed in advance, with the norm, projections and rotary embedding of the layer
    that comes next, and averaged over heads. The published schedule halves the tokens before layers 8, 16 and 24 of
    32: three placements of one `group` with keep 0.5 each. The code renumbers positions; here they stay.
    """

    name = "pyramiddrop"
    source = "arXiv:2410.17247"
    summary = "keep the tokens that the last prompt token attends to most in the layer to come"
    mechanism = "attention"
    sites = ("decoder.layer",)
    consumes = ("attention", "task")
    query_aware = True
    catalog_id = "pyramiddrop"
    training = "both"

    def needs(self, layout: Layout) -> tuple[Need, ...]:
        """The last prompt token's row in the layer at the site."""
        return (last_row(0),)

    def score_ops(self, layout: Layout, width: int) -> tuple[Op, ...]:
        """The next layer's queries and keys, and one thin row."""
        return preview_op(width), attention_row_op(width)

    def score(self, tokens: Tokens) -> torch.Tensor:
        """The attention that the last prompt token will pay to each media token, (B, N)."""
        return tokens.signal(last_row(0))
