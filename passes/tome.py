"""ToMe: tokens whose attention keys are alike become one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..ir.layout import Layout
from ..ir.op import Op
from ..ir.polynomial import BATCH, TOKENS
from ..ir.signal import Need, latest_key
from ..kernels.best_match import best_match
from .base import Compression, Pass, Tokens, register
from .primitives.costs import merge_op, similarity_op, top_k_op
from .primitives.merge import group_sums, places
from .primitives.select import complement, ranked

if TYPE_CHECKING:
    import torch

_HEAD = 64
"""Channels of a head, for the price of comparing keys."""


@register
@dataclass(frozen=True)
class ToMe(Pass):
    """Bipartite soft matching between attention and MLP (arXiv:2210.09461, section 3).

    Tokens alternate between two sets, [CLS] counted; each token of the first set finds the one of the second whose
    attention keys (mean over the heads) have the highest cosine with its own, and the r = N - K best pairs merge. A
    merged token is the mean of all original tokens that it stands for, at the place of the second set's token. With
    `proportional` later attention in the encoder adds the log of that number to the token's logits, as published.

    Tokens keep their order, by which later layers alternate. The paper merges at most half of the tokens in a layer:
    below that, rounds with the merged tokens' mean keys follow each other here.
    """

    name = "tome"
    source = "arXiv:2210.09461"
    summary = "merge tokens whose attention keys are alike, inside the encoder"
    mechanism = "similarity"
    sites = ("encoder.layer.mid",)
    consumes = ("feature",)
    catalog_id = "tome"

    proportional: bool = True

    @property
    def weighs_attention(self) -> bool:
        """As `proportional` says."""
        return self.proportional

    def needs(self, layout: Layout) -> tuple[Need, ...]:
        """The keys of the attention that has just run."""
        return (latest_key(),)

    def ops(self, layout: Layout, width: int) -> tuple[Op, ...]:
        """Half the keys against the other half, a ranking and the merge."""
        pairs = BATCH * TOKENS * TOKENS
        return similarity_op(_HEAD // 4, pairs=pairs), top_k_op(), merge_op(width)

    def compress(self, tokens: Tokens, target: Layout) -> Compression:
        """What remains of both sets, each token assigned to what it became part of."""
        import torch

        count = tokens.layout.count
        metric = tokens.signal(latest_key()).float().mean(dim=2)
        sizes = torch.ones_like(metric[..., 0]) if tokens.sizes is None else tokens.sizes
        index = torch.arange(count, device=metric.device).expand(metric.shape[0], -1)
        if target.count == count:
            return Compression(index)
        assign, weight = index, sizes
        for before, after in _rounds(count, target.count):
            remaining, joined = _matched(metric, before - after, parity=tokens.layout.prefix % 2)
            metric, sizes = _merged_keys(metric, joined, sizes, after)
            index, assign = index.gather(1, remaining), joined.gather(1, assign)
        return Compression(index, assign, weight)


def _rounds(count: int, target: int) -> Iterator[tuple[int, int]]:
    """(tokens before, tokens after) of each round; a round merges at most half of the tokens.

    Example:
        >>> list(_rounds(9, 2))
        [(9, 5), (5, 3), (3, 2)]
    """
    while count > target:
        after = max(target, count - count // 2)
        yield count, after
        count = after


def _matched(metric: torch.Tensor, merges: int, *, parity: int) -> tuple[torch.Tensor, torch.Tensor]:
    """One round of matching on (B, N, W) keys.

    Args:
        merges: r, at most N // 2. parity: whether the first set starts with token 0 or token 1.

    Returns:
        (B, N - r) tokens that remain, sorted, and (B, N) where each token stands among them afterwards.
    """
    import torch

    batch, count = metric.shape[:2]
    everything = torch.arange(count, device=metric.device)
    first, second = everything[parity::2], everything[1 - parity :: 2]
    score, match = best_match(metric[:, first], metric[:, second])
    merged = ranked(score)[:, :merges]
    source, goal = first[merged], second[match.gather(1, merged)]
    joins = everything.expand(batch, -1).scatter(1, source, goal)
    remaining = complement(source, count)
    return remaining, places(remaining, count).gather(1, joins)


def _merged_keys(
    metric: torch.Tensor, joined: torch.Tensor, sizes: torch.Tensor, groups: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean keys (B, K, W) of merged tokens, and how many originals each stands for (B, K)."""
    sums, totals = group_sums(metric, joined, groups, weight=sizes)
    return sums / totals[..., None], totals
