"""DyCoke's temporal token merging: in every four frames, what resembles an earlier frame goes."""

from __future__ import annotations

from dataclasses import dataclass

from ..ir.layout import Layout
from ..ir.op import Op
from .base import Compression, Pass, Tokens, register
from .primitives.costs import row_ops, top_k_op
from .primitives.frames import by_frame, frame_shape, quota_top_k, spread

_WINDOW = 4


@register
@dataclass(frozen=True)
class DyCokeTTM(Pass):
    """Temporal token merging, the first stage of DyCoke (arXiv:2411.15024).

    In each window of four frames the first stays whole. The second and the fourth lose the tokens most similar, by
    cosine at the same place, to the frame before them, the third those most similar to the first.

    Exact count: what K leaves beside the whole frames is shared equally among the others (the paper fixes the ratio,
    0.7 merged). Where K does not cover the whole frames, they keep evenly spread tokens and the others none. The public
    code never prunes the third frame of the last window and loses the last of an odd number of frames; the paper's
    rule is followed here.

    The second stage is no part: while decoding it shows later layers another part of the cache each time the query's
    attention turns, and brings entries back; what a cache pass evicts here is gone.
    """

    name = "dycoke-ttm"
    source = "arXiv:2411.15024"
    summary = "in every four frames, drop what resembles an earlier frame at the same place"
    mechanism = "similarity"
    modalities = ("video",)
    consumes = ("temporal", "feature")
    catalog_id = "dycoke"
    needs_grid = True

    def ops(self, layout: Layout, width: int) -> tuple[Op, ...]:
        """Cosines with one other frame, and a ranking in each frame."""
        return row_ops("temporal_cosine", width, launches=8), top_k_op(), top_k_op()

    def compress(self, tokens: Tokens, target: Layout) -> Compression:
        """The least similar tokens of each frame."""
        import torch
        from torch.nn.functional import normalize

        frames, places = frame_shape(tokens.layout)
        quotas = frame_quotas(frames, places, target.count)
        unit = normalize(by_frame(tokens.features, tokens.layout).float(), dim=-1)
        scores = -(unit * unit[:, compared_frames(frames)]).sum(dim=-1)
        whole = [spread(places, quotas[frame], scores.device) for frame in range(0, frames, _WINDOW)]
        scores[:, ::_WINDOW] = torch.stack(whole)
        return Compression(quota_top_k(scores, quotas))


def compared_frames(frames: int) -> list[int]:
    """The frame with which each frame is compared: itself where it stays whole.

    Example:
        >>> compared_frames(6)
        [0, 0, 0, 2, 4, 4]
    """
    return [frame - {0: 0, 2: 2}.get(frame % _WINDOW, 1) for frame in range(frames)]


def frame_quotas(frames: int, places: int, count: int) -> list[int]:
    """How many tokens of each frame stay, K in all.

    Example:
        >>> frame_quotas(5, 10, 26)
        [10, 2, 2, 2, 10]
        >>> frame_quotas(5, 10, 7)
        [4, 0, 0, 0, 3]
    """
    whole = range(0, frames, _WINDOW)
    others = [frame for frame in range(frames) if frame % _WINDOW]
    first = min(count, places * len(whole))
    quotas = [0] * frames
    for members, total in ((whole, first), (others, count - first)):
        for number, frame in enumerate(members):
            quotas[frame] = total // len(members) + (number < total % len(members))
    return quotas
