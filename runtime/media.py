"""The media tokens of one forward call: which positions they hold, and what has become of them so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ..common.errors import BadInput
from ..ir.families import Family
from ..ir.layout import Layout
from .index_maps import placeholder_positions


@dataclass
class MediaGroup:
    """Media of one modality and one layout in one call.

    Attributes:
        modality, layout: what they are; `layout` is how the tokens that remain are arranged.
        members: (M,) places of the media in the call's order of that modality.
        positions: (M, n) int64, flat positions (row * L + place) in the call's sequence of the tokens that remain.
        selected: (M, n) int64, their indices in the medium's own uncompressed stream.
        uncompressed: tokens of that stream.
    """

    modality: str
    layout: Layout
    members: torch.Tensor
    positions: torch.Tensor
    selected: torch.Tensor
    uncompressed: int

    def compressed(self, index: torch.Tensor, layout: Layout) -> MediaGroup:
        """The group after `index` (M, K) of its tokens were kept."""
        return MediaGroup(
            self.modality,
            layout,
            self.members,
            self.positions.gather(1, index),
            self.selected.gather(1, index),
            self.uncompressed,
        )


def find_media(family: Family, config: Any, arguments: Mapping[str, Any]) -> list[MediaGroup]:
    """The media groups of one forward call, from its arguments; empty where it carries none.

    Raises:
        BadInput: media without `input_ids`, whose placeholders say where they stand.
    """
    found = family.media(config, arguments)
    groups: list[MediaGroup] = []
    for modality, layouts in found.items():
        input_ids = arguments.get("input_ids")
        if input_ids is None:
            raise BadInput(f"the call has {modality} tokens but no input_ids; pass input_ids, not inputs_embeds")
        mask = input_ids == family.placeholder(config, modality)
        flat = placeholder_positions(mask, sum(layout.total for layout in layouts))
        groups += _grouped(modality, layouts, flat)
    return groups


def _grouped(modality: str, layouts: list[Layout], flat: torch.Tensor) -> list[MediaGroup]:
    """One group for each distinct layout; prefix tokens of a medium are left out, since they always stay."""
    pieces = torch.split(flat, [layout.total for layout in layouts])
    groups = []
    for layout in dict.fromkeys(layouts):
        members = [i for i, other in enumerate(layouts) if other == layout]
        positions = torch.stack([pieces[i][layout.prefix :] for i in members])
        selected = torch.arange(layout.count, device=flat.device).expand_as(positions)
        places = torch.tensor(members, device=flat.device)
        groups.append(MediaGroup(modality, layout.without_prefix(), places, positions, selected, layout.count))
    return groups
