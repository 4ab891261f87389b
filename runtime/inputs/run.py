"""One encoding of media that were shortened before their encoder, and what it means for the call that they are in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ...ir.layout import Layout
from ..adapters import Medium
from ..encoder.run import media_order
from ..media import MediaGroup
from ..prefill import CallState
from .features import full_places, spread
from .forms import grid_of


@dataclass(frozen=True)
class InputRun:
    """One encoding of shortened media.

    Attributes:
        site: the site. media: what they were. layouts: what remains of each.
        kept: by medium (K,) indices in its uncompressed stream.
    """

    site: str
    media: tuple[Medium, ...]
    layouts: tuple[Layout, ...]
    kept: tuple[torch.Tensor, ...]


def place_features(output: Any, run: InputRun) -> None:
    """Put the features of an output at the places of what they stand for."""
    totals = [medium.layout.total for medium in run.media]
    places = [full_places(*each) for each in zip(run.media, run.layouts, run.kept, strict=True)]
    output.pooler_output = spread(output.pooler_output, places, totals)
    deep = getattr(output, "deepstack_features", None)
    if deep is not None:
        output.deepstack_features = [spread(layer, places, totals) for layer in deep]


def leave_out(state: CallState, modality: str, run: InputRun) -> None:
    """Narrow the groups of a modality to what was encoded; class tokens of frames that were not leave with them."""
    own = [place for place, group in enumerate(state.groups) if group.modality == modality]
    order = media_order([state.groups[place] for place in own], state.length, len(run.media))
    remaining: dict[int, MediaGroup] = {}
    others: list[torch.Tensor] = []
    for place, medium in zip(own, dict.fromkeys(run.media), strict=True):
        group = state.groups[place]
        members = [number for number, other in enumerate(run.media) if other == medium]
        if order is not None:
            members = [order[member] for member in group.members.tolist()]
        index = torch.stack([run.kept[number] for number in members])
        remaining[place] = group.shortened(index, run.layouts[members[0]])
        frames = grid_of(medium.layout)[0]
        if 1 < frames == medium.layout.separators:
            others.append(_classes(group, index, frames, grid_of(remaining[place].layout)[0]))
    state.narrow(remaining, others)


def _classes(group: MediaGroup, index: torch.Tensor, frames: int, left: int) -> torch.Tensor:
    """Flat positions of the class tokens of frames that are gone; each stands before the tokens of its frame."""
    each = group.seen // frames
    kept = torch.zeros(len(index), frames, dtype=torch.uint8, device=index.device).scatter(1, index // each, 1)
    gone = kept.argsort(dim=1, stable=True)[:, : frames - left]
    return group.positions.gather(1, gone * each) - 1
