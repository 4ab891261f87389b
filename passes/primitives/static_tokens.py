"""Tokens that stay the same through a segment of a clip, kept once as their mean over time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .budget import share_counts, share_top_k
from .density import group_density_peaks
from .frames import by_frame
from .merge import places
from .segments import segment_first, segment_sizes

if TYPE_CHECKING:
    import torch

    from ...ir.layout import Layout


@dataclass(frozen=True)
class StaticTokens:
    """A clip whose static tokens stand once, in the first frame of their segment.

    Attributes:
        group: (B, N) int64: 2 t for the moving tokens of frame t, 2 t + 1 for the static ones of the segment that it
            begins, -1 for static ones of later frames.
        source: (B, N) int64, the token that stands for each: itself, or the static one in the first frame.
        part: (B, N) float32, each token's part in the mean that stands for it.
        features: (B, N, D) float32, static tokens of first frames being means over time.
    """

    group: torch.Tensor
    source: torch.Tensor
    part: torch.Tensor
    features: torch.Tensor

    @classmethod
    def of(cls, features: torch.Tensor, layout: Layout, static: torch.Tensor, segment: torch.Tensor) -> StaticTokens:
        """From (B, N, D) features, which places are static (B, T, n), and each frame's segment (B, T)."""
        import torch

        _, frames, positions = static.shape
        frame = torch.arange(frames, device=static.device)
        first = segment_first(segment)
        source = torch.where(static, first[..., None], frame[:, None]) * positions
        source = (source + torch.arange(positions, device=static.device)).flatten(1)
        part = torch.where(static, 1 / segment_sizes(segment)[..., None], 1.0).flatten(1)
        group = 2 * frame[:, None] + static.long()
        group = group.masked_fill(static & (frame != first)[..., None], -1).flatten(1)
        index = source[..., None].expand_as(features)
        means = torch.zeros_like(features, dtype=torch.float32).scatter_add(
            1, index, features.float() * part[..., None]
        )
        return cls(group, source, part, means)

    def sizes(self, layout: Layout) -> torch.Tensor:
        """(B, 2 T) float32, the tokens of each group."""
        import torch

        groups = 2 * (self.group.shape[1] if layout.grid is None else layout.grid[0])
        found = torch.zeros(len(self.group), groups + 1, device=self.group.device)
        return found.scatter_add(1, self.group % (groups + 1), torch.ones_like(self.part))[:, :-1]

    def selected(
        self,
        layout: Layout,
        count: int,
        *,
        neighbours: int,
        moving: torch.Tensor | None = None,
        limited: bool = False,
        share: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The tokens that go on, K shared among groups by size, and which others of a group join which of them.

        Args:
            neighbours: k of the density peaks that rank tokens. moving: (B, N) scores that rank moving ones instead,
                which then join nothing. limited: k is at most the number that its group may keep.
            share: (B, 2 T) what each group asks for of K, None its size.

        Returns:
            (B, K) int64 and (B, K, N) bool: each joins the nearest that goes on of its own group. O(N n D) time for
            frames of n tokens; distances are held within frames alone.
        """
        batch, total = self.group.shape
        share = self.sizes(layout) if share is None else share
        limit = share_counts(self.group, share, count).gather(1, self.group.clamp(min=0))
        framed = by_frame(self.features, layout).flatten(0, 1)
        score, distance = group_density_peaks(
            framed,
            self.group.view(framed.shape[:2]),
            neighbours=neighbours,
            limit=limit.view(framed.shape[:2]) if limited else None,
        )
        joining = self.group >= 0
        scores = score.view(batch, total)
        if moving is not None:
            joining = joining & (self.group % 2 == 1)
            scores = scores.where(joining, moving)
        index = share_top_k(scores, self.group, share, count)
        return index, _joins(distance, places(index, total), joining, count)

    def spread(self, index: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """(B, K, N) weights of all tokens, from weights of the tokens that stand for them.

        A token of no group that goes on all the same, because the groups hold fewer than K, stands for itself.
        """
        import torch

        outside = (self.group.gather(1, index) < 0).float()
        own = torch.zeros_like(weight).scatter(2, index[..., None], outside[..., None])
        return weight.gather(2, self.source[:, None].expand_as(weight)) * self.part[:, None] + own

    def assigned(self, index: torch.Tensor, joins: torch.Tensor) -> torch.Tensor:
        """(B, N) int64 place in `index` of what each token joins, -1 where it is dropped."""
        import torch

        found = joins.to(torch.uint8).argmax(dim=1).masked_fill(~joins.any(dim=1), -1)
        own = places(index, self.group.shape[1]).gather(1, index)
        return found.scatter(1, index, own).gather(1, self.source).scatter(1, index, own)


def _joins(distance: torch.Tensor, place: torch.Tensor, joining: torch.Tensor, count: int) -> torch.Tensor:
    """Which tokens join which of those that go on, (B, K, N) bool, from distances within frames (B * T, n, n)."""
    import torch

    batch, total = place.shape
    positions = distance.shape[-1]
    gap, nearest = distance.masked_fill((place < 0).view(-1, 1, positions), float("inf")).min(dim=-1)
    offset = positions * torch.arange(total // positions, device=place.device).repeat_interleave(positions)
    joined = place.gather(1, nearest.view(batch, total) + offset)
    joins_any = joining & gap.isfinite().view(batch, total) & (place < 0)
    joined = joined.masked_fill(~joins_any, count)
    joins = torch.zeros(batch, count + 1, total, dtype=torch.bool, device=place.device)
    return joins.scatter(1, joined[:, None], True)[:, :-1]
