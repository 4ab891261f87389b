"""The attention that cache entries receive, head by head: what taps read for passes that evict by it."""

from __future__ import annotations

import torch

from ...kernels.thin_attention import grouped_scores, softmax_or_zero
from ...passes.cache_base import Observed
from ..reading.attention_call import AttentionCall

_SCORES = 1 << 22
"""Attention scores held at once."""


def received(call: AttentionCall, observed: Observed, last: int | torch.Tensor) -> torch.Tensor:
    """The attention that every key receives from the observed queries, summed over them: (B, H, N) float32.

    Args:
        observed: `all`, or how many queries up to `last`; padding and places before the first query count nothing.
        last: place of the last prompt query, one for all rows or (B,).
    """
    batch, queries, device = call.query.shape[0], call.query.shape[2], call.query.device
    if observed == "all":
        at = torch.arange(queries, device=device).expand(batch, -1)
    else:
        end = torch.full((batch,), last % queries, device=device) if isinstance(last, int) else last
        at = end[:, None] - torch.arange(observed - 1, -1, -1, device=device)
    counted = (at >= 0) & call.valid()[:, call.past :].gather(1, at.clamp(min=0))
    return _summed(call, at.clamp(min=0), counted.float())


def _summed(call: AttentionCall, at: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Rows of the queries at places `at` (B, R), times `weight` (B, R), summed; some queries at a time."""
    batch, heads, _, width = call.query.shape
    step = max(1, _SCORES // (batch * heads * call.key.shape[2]))
    total = torch.zeros(batch, heads, call.key.shape[2], device=at.device)
    for start in range(0, at.shape[1], step):
        some = at[:, start : start + step]
        query = call.query.gather(2, some[:, None, :, None].expand(-1, heads, -1, width))
        scores, mask = grouped_scores(query, call.key) * call.scale, call.visible(some)
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask.float()
        total += (softmax_or_zero(scores) * weight[:, None, start : start + step, None]).sum(dim=2)
    return total
