"""One attention call as a tap sees it: queries, keys and mask, and the thin slices that signals take of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ...kernels.column_mass import column_mass
from ...kernels.thin_attention import thin_attention

_SCORES = 1 << 22
"""Attention scores held at once where all queries are summed up."""


@dataclass(frozen=True)
class AttentionCall:
    """The arguments of one attention call.

    Attributes:
        query: (B, H, Q, D). key: (B, G, N, D); the last Q keys stand at the queries, earlier ones are the past.
        mask: 4-d (queries), 2-d (padding alone), or None. scale: factor of the scores.
        causal: whether a query sees no later keys where the mask does not say so.
    """

    query: torch.Tensor
    key: torch.Tensor
    mask: Any
    scale: float
    causal: bool

    @property
    def past(self) -> int:
        """Keys that stand before the first query."""
        return self.key.shape[2] - self.query.shape[2]

    def rows(self, at: torch.Tensor) -> torch.Tensor:
        """Attention rows of the queries at places `at` (B, R), averaged over the heads: (B, R, N) float32."""
        index = at[:, None, :, None].expand(-1, self.query.shape[1], -1, self.query.shape[3])
        return thin_attention(self.query.gather(2, index), self.key, scale=self.scale, mask=self.visible(at))

    def row(self, at: int | torch.Tensor) -> torch.Tensor:
        """The row of one query of each sequence, (B, N): `at` is one place for all or (B,) places."""
        batch, queries, device = self.query.shape[0], self.query.shape[2], self.query.device
        places = torch.full((batch,), at % queries, device=device) if isinstance(at, int) else at
        return self.rows(places[:, None])[:, 0]

    def joint_row(self, at: int) -> torch.Tensor:
        """The row of one query over all heads taken as one wide head, (B, N) float32; only where no mask is."""
        query, key = self.query[:, :, at].flatten(1)[:, None, None], self.key.transpose(1, 2).flatten(2)[:, None]
        return thin_attention(query, key, scale=query.shape[-1] ** -0.5)[:, 0]

    def column(self) -> torch.Tensor:
        """The attention that each key receives, averaged over heads and queries that are no padding, (B, N) float32."""
        queries = self.query.shape[2]
        if self.mask is None:
            return column_mass(self.query, self.key, scale=self.scale, causal=self.causal) / queries
        present = self.valid()[:, self.past :].float()
        step = max(1, _SCORES // (self.query.shape[0] * self.query.shape[1] * self.key.shape[2]))
        total = torch.zeros_like(self.valid(), dtype=torch.float32)
        for start in range(0, queries, step):
            at = torch.arange(start, min(start + step, queries), device=total.device).expand(len(total), -1)
            total += (present[:, start : start + step, None] * self.rows(at)).sum(dim=1)
        return total / present.sum(dim=1, keepdim=True)

    def keys(self) -> torch.Tensor:
        """(B, N, G, D)."""
        return self.key.transpose(1, 2)

    def mean_query_rows(self, row: torch.Tensor, end: torch.Tensor) -> torch.Tensor:
        """For M spans the row of the mean query over them, normalised over their keys: (M, N) float32.

        Args:
            row: (M,) sequence of each span. end: (M,) place of its last query; it begins with the first token.
        """
        queries = torch.arange(self.query.shape[2], device=end.device)
        span = (queries <= end[:, None]) & self.valid()[row, self.past :]
        weight = span.float() / span.sum(dim=1, keepdim=True)
        mean = (weight[:, None, None] @ self.query[row].float()).to(self.query.dtype)
        found = thin_attention(mean, self.key[row, :, self.past :], scale=self.scale, mask=span[:, None, None])[:, 0]
        return torch.nn.functional.pad(found, (self.past, 0))

    def visible(self, at: torch.Tensor) -> torch.Tensor | None:
        """What the queries at places `at` (B, R) may see, (B, 1 or H, R, N) bool or additive; None is everything."""
        mask, keys = self.mask, self.key.shape[2]
        if mask is not None and mask.ndim == 4:
            mask = mask.expand(len(at), -1, -1, -1)[..., :keys]
            return mask.gather(2, at[:, None, :, None].expand(-1, mask.shape[1], -1, keys))  # type: ignore[no-any-return]
        seen = None if mask is None else mask[:, None, None, :keys].bool()
        if self.causal:
            before = (torch.arange(keys, device=at.device) <= at[..., None] + self.past)[:, None]
            seen = before if seen is None else seen & before
        return seen

    def valid(self) -> torch.Tensor:
        """(B, N) bool: keys that are no padding; of those at the queries, the ones that may see themselves."""
        batch, keys = self.query.shape[0], self.key.shape[2]
        if self.mask is None:
            return torch.ones(batch, keys, dtype=torch.bool, device=self.query.device)
        if self.mask.ndim == 2:
            return self.mask[:, :keys].bool().expand(batch, keys)  # type: ignore[no-any-return]
        mask = self.mask[:, 0, :, :keys].expand(batch, -1, -1)
        own = mask.diagonal(offset=self.past, dim1=1, dim2=2)
        seen = torch.cat([mask[:, -1, : self.past], own], dim=1)
        return seen if seen.dtype == torch.bool else seen > torch.finfo(seen.dtype).min / 2
