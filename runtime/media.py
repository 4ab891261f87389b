"""The media tokens of one forward call: which positions they hold, and what has become of them so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from ..common.errors import BadInput
from ..ir.layout import Layout
from .adapters import Adapter, Medium
from .index_maps import placeholder_positions


@dataclass
class MediaGroup:
    """Media of one modality and one layout in one call.

    Attributes:
        modality, layout: what they are; `layout` is how the tokens that remain are arranged.
        members: (M,) places of the media in the call's order of that modality.
        positions: (M, n) int64, flat positions (row * L + place) in the call's sequence of the tokens that remain.
        selected: (M, n) int64, their indices in the medium's own uncompressed stream.
        encoded: (M, n) int64, their indices in what the encoder was given of the medium. seen: how many tokens that is;
            fewer than the medium has where its input was shortened.
    """

    modality: str
    layout: Layout
    members: torch.Tensor
    positions: torch.Tensor
    selected: torch.Tensor
    encoded: torch.Tensor
    seen: int

    def compressed(self, index: torch.Tensor, layout: Layout) -> MediaGroup:
        """The group after `index` (M, K) of its tokens were kept."""
        return replace(
            self,
            layout=layout,
            positions=self.positions.gather(1, index),
            selected=self.selected.gather(1, index),
            encoded=self.encoded.gather(1, index),
        )

    def shortened(self, index: torch.Tensor, layout: Layout) -> MediaGroup:
        """The group where `index` (M, K) of its tokens were encoded, and nothing else."""
        left = self.compressed(index, layout)
        encoded = torch.arange(layout.count, device=index.device).expand_as(index)
        return replace(left, encoded=encoded, seen=layout.count)

    def parted(self) -> list[MediaGroup]:
        """A group of its own for each medium, in order; one medium stays as it is."""
        if len(self.members) == 1:
            return [self]
        parts = (self.members, self.positions, self.selected, self.encoded)
        rows = zip(*(torch.split(part, 1) for part in parts), strict=True)
        return [
            replace(self, members=members, positions=positions, selected=selected, encoded=encoded)
            for members, positions, selected, encoded in rows
        ]


def media_groups(
    adapter: Adapter, config: Any, media: Mapping[str, list[Medium]], input_ids: torch.Tensor | None
) -> list[MediaGroup]:
    """The groups of one forward call's media, at their placeholders in `input_ids` (B, L); empty where it has none.

    Raises:
        BadInput: media without `input_ids`, whose placeholders say where they stand.
    """
    groups: list[MediaGroup] = []
    for modality, found in media.items():
        if input_ids is None:
            raise BadInput(f"the call has {modality} tokens but no input_ids; pass input_ids, not inputs_embeds")
        mask = input_ids == adapter.placeholder(config, modality)
        flat = placeholder_positions(mask, sum(medium.layout.total for medium in found))
        groups += _grouped(modality, found, flat)
    return groups


def _grouped(modality: str, media: list[Medium], flat: torch.Tensor) -> list[MediaGroup]:
    """One group for each distinct layout; prefix and separator tokens are left out, since they always stay."""
    pieces = torch.split(flat, [medium.layout.total for medium in media])
    groups = []
    for medium in dict.fromkeys(media):
        layout = medium.layout
        members = [i for i, other in enumerate(media) if other == medium]
        held = set(medium.separators)
        places = torch.tensor([i for i in range(layout.prefix, layout.total) if i not in held], device=flat.device)
        positions = torch.stack([pieces[i] for i in members])[:, places]
        selected = torch.arange(layout.count, device=flat.device).expand_as(positions)
        order = torch.tensor(members, device=flat.device)
        bare = Layout(layout.count, layout.grid)
        groups.append(MediaGroup(modality, bare, order, positions, selected, selected, layout.count))
    return groups
