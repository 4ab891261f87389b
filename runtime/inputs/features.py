"""Features of what remains of media, put at the places of what they stand for among all of the media's tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ...ir.layout import Layout
from ..adapters import Medium
from ..index_maps import placeholder_positions


def specials_of(medium: Medium) -> list[int]:
    """Places among a medium's tokens of its prefix and separators, sorted."""
    return sorted({*range(medium.layout.prefix), *medium.separators})


def compressible_places(medium: Medium, device: torch.device) -> torch.Tensor:
    """(N,) int64 places among a medium's tokens of those that are neither prefix nor separator."""
    free = torch.ones(medium.layout.total, dtype=torch.bool, device=device)
    free[specials_of(medium)] = False
    return placeholder_positions(free, medium.layout.count)


def full_places(medium: Medium, layout: Layout, kept: torch.Tensor) -> torch.Tensor:
    """Places among a medium's tokens, specials included, of the features that its shortened form has, in order.

    Prefix and separators stay, but for those of frames that are gone, where every frame has one (Video-LLaVA).

    Args:
        medium: the uncompressed medium. layout: what remains of it. kept: (K,) indices of its compressible tokens.

    Example:
        >>> full_places(Medium(Layout(4, separators=1), (4,)), Layout(2), torch.tensor([1, 2])).tolist()
        [1, 2, 4]
    """
    whole, device = medium.layout, kept.device
    places = compressible_places(medium, device)[kept]
    frames = 1 if whole.grid is None else whole.grid[0]
    specials = torch.tensor(specials_of(medium), dtype=torch.int64, device=device)
    if 1 < frames == whole.separators and layout.grid is not None:
        each = layout.count // layout.grid[0]
        specials = specials[kept[::each] // (whole.count // frames)]
    return torch.cat([places, specials]).sort().values


def spread(features: Any, places: Sequence[torch.Tensor], totals: Sequence[int]) -> Any:
    """Features of shortened media at the places of the whole ones, zeros elsewhere.

    Args:
        features: of all media in order: (R, D), (entries, n, D), or a list or tuple of entries (n, D) of one or more
            whole media each.
        places: for each medium (n,) int64, its features' places among its tokens. totals: tokens of each medium.

    Returns:
        The same structure with sum(totals) features.
    """
    parts = [features] if isinstance(features, torch.Tensor) else list(features)
    rows = torch.cat([part.reshape(-1, part.shape[-1]) for part in parts])
    starts = [sum(totals[:number]) for number in range(len(totals))]
    targets = torch.cat([place + start for place, start in zip(places, starts, strict=True)])
    full = rows.new_zeros(sum(totals), rows.shape[-1]).index_copy(0, targets, rows)
    if not isinstance(features, torch.Tensor):
        return type(features)(_entries(full, parts, places, totals))
    if features.ndim == 2:
        return full
    entries = len(totals) if len(features) == len(totals) else len(full) // features.shape[1]
    return full.view(entries, -1, features.shape[-1])


def _entries(
    full: torch.Tensor, parts: Sequence[torch.Tensor], places: Sequence[torch.Tensor], totals: Sequence[int]
) -> list[torch.Tensor]:
    """`full` cut where the shortened entries were: each holds whole media."""
    sizes, medium = [], 0
    for part in parts:
        left, size = part.reshape(-1, part.shape[-1]).shape[0], 0
        while left > 0:
            left, size, medium = left - len(places[medium]), size + totals[medium], medium + 1
        sizes.append(size)
    return list(torch.split(full, sizes))
