"""HoliTom inside the decoder: what the prompt ignores flows into what it attends to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..ir.layout import Layout
from ..ir.op import Op
from ..ir.polynomial import BATCH, CONTEXT, TOKENS
from ..ir.signal import Need, last_row
from ..kernels.best_match import best_match
from .base import Compression, Pass, Tokens, register
from .primitives.costs import attention_row_op, merge_op, similarity_op, top_k_op
from .primitives.frames import run_starts
from .primitives.merge import gather, places
from .primitives.select import complement, top_k

if TYPE_CHECKING:
    import torch


@register
@dataclass(frozen=True)
class HoliTomInner(Pass):
    """HoliTom's merging inside the decoder (arXiv:2505.21334; the public code); `holitom-outer` is the part before it.

    The tokens that the last prompt token attends to most in the layer before the site stay, as in FastV; each other
    one flows into the one that stays with the highest cosine of hidden states. As in the public code it becomes the
    mean of what stands there and the token that arrives, one after the other in order of position: of n that arrive the
    last counts 1/2, the one before 1/4, and the token that stays 2^-n. The paper's layer is 18 and half stay.
    """

    name = "holitom-inner"
    source = "arXiv:2505.21334"
    summary = "keep what the last prompt token attends to, the rest flows into the most similar"
    mechanism = "mixed"
    modalities = ("video",)
    sites = ("decoder.layer",)
    consumes = ("attention", "feature", "task")
    query_aware = True
    catalog_id = "holitom"

    def needs(self, layout: Layout) -> tuple[Need, ...]:
        """The row of the last prompt token."""
        return (last_row(),)

    def ops(self, layout: Layout, width: int) -> tuple[Op, ...]:
        """One row, a ranking, similarities of N tokens with K, and the merge."""
        pairs = BATCH * TOKENS * CONTEXT
        return attention_row_op(width), top_k_op(), similarity_op(width, pairs=pairs), merge_op(width)

    def compress(self, tokens: Tokens, target: Layout) -> Compression:
        """The most attended tokens, each with what flows into it."""
        total = tokens.layout.count
        index = top_k(tokens.signal(last_row()), target.count)
        if target.count == total:
            return Compression(index)
        rest = complement(index, total)
        features = tokens.features.float()
        _, nearest = best_match(gather(features, rest), gather(features, index))
        assign = places(index, total).scatter(1, rest, nearest)
        return Compression(index, assign, _running_shares(assign, index))


def _running_shares(assign: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """(B, N) float32: what each token counts in its group when a running half-and-half mean takes them in order.

    Args:
        assign: (B, N) group of each token. index: (B, K) the token with which each group begins.
    """
    import torch

    arrives = torch.ones_like(assign).scatter(1, index, 0)
    order = (2 * assign + arrives).argsort(dim=-1, stable=True)  # by group, what stays first, then by position
    groups = assign.gather(1, order)
    joins = torch.zeros_like(groups, dtype=torch.bool)
    joins[:, 1:] = groups[:, 1:] == groups[:, :-1]
    place = torch.arange(assign.shape[1], device=assign.device)
    turn = torch.zeros_like(assign).scatter(1, order, place - run_starts(joins))
    arrivals = torch.zeros_like(index).scatter_add(1, assign, arrives).gather(1, assign)
    return torch.exp2(-(arrivals - turn + arrives).float())
