"""How tokens run through a live encoder: what the hooks of placements inside it must know of a family."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...ir.layout import Layout

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class Units:
    """Media of one layout in one encoder run, in units: a unit is all that becomes one token of the decoder.

    Attributes:
        members: places of the media in the order of the run.
        layout: how the units of each medium are arranged; `prefix` counts tokens that stand before them and stay.
        tokens: (m, U, p) int64, flat places of each unit's p tokens in the encoder's (rows x length) hidden states.
    """

    members: tuple[int, ...]
    layout: Layout
    tokens: torch.Tensor


Arrange = Callable[[Mapping[str, Any], "torch.Tensor", Layout | None], list[Units]]


@dataclass(frozen=True)
class EncoderFlow:
    """The modules that an encoder's tokens pass.

    Attributes:
        encoder: its forward starts a run. layers: its numbered layers.
        arrange: the units of a run, from the arguments of the encoder's forward, its (rows, length, D) states, and the
            layout of one row where a pass has made the input smaller, None where it is as it was given.
        last: layer whose output leaves the encoder.
        projector: maps units one by one; runs on those that remain, and its output is scattered back.
        mergers: modules that turn each whole group of tokens into one unit, the one at the end last; they run on the
            groups that remain, and their output is scattered back.
        restored: a module after which every token must stand in its place again; None where what remains flows on.
        reads: where `restored` is the encoder, which of its `hidden_states` goes on; None is `last_hidden_state`.
    """

    encoder: nn.Module
    layers: Sequence[nn.Module]
    arrange: Arrange
    last: int
    projector: nn.Module | None = None
    mergers: tuple[nn.Module, ...] = ()
    restored: nn.Module | None = None
    reads: int | None = None


def dense(layout: Layout, *, side: int = 1, run: int = 1, after: int = 0) -> Arrange:
    """Rows of one medium each: tokens that stay, then a grid of units of side x side tokens, then `after` that stay.

    Units of sounds are `run` tokens side by side.
    """

    def arrange(arguments: Mapping[str, Any], states: torch.Tensor, smaller: Layout | None) -> list[Units]:
        import torch

        own, (rows, length) = smaller or layout, states.shape[:2]
        places = grid_groups(own.grid or (1, 1, own.count), side, device=states.device)
        places = places if run == 1 else torch.arange(own.count * run, device=states.device).view(-1, run)
        prefix = length - after - places.numel()
        starts = length * torch.arange(rows, device=states.device) + prefix
        found = Layout(own.count, own.grid, prefix=prefix)
        members = tuple(range(rows)) if isinstance(rows, int) else ()  # their number is free in an export
        return [Units(members, found, places[None] + starts[:, None, None])]

    return arrange


def grid_groups(grid: tuple[int, int, int], side: int, *, device: Any = None) -> torch.Tensor:
    """(units, side^2) places of the tokens of each unit, in frames of (height x side, width x side) tokens by rows.

    Example:
        >>> grid_groups((1, 1, 2), 2).tolist()
        [[0, 1, 4, 5], [2, 3, 6, 7]]
    """
    import torch

    frames, height, width = grid
    places = torch.arange(frames * height * width * side * side, device=device)
    groups = places.view(frames, height, side, width, side).permute(0, 1, 3, 2, 4)
    return groups.reshape(frames * height * width, side * side)


def packed(layouts: Sequence[Layout], places: Sequence[torch.Tensor]) -> list[Units]:
    """Units of media that follow each other in one row; `places` gives (U, p) flat places for each medium."""
    import torch

    found = []
    for layout in dict.fromkeys(layouts):
        members = tuple(i for i, other in enumerate(layouts) if other == layout)
        found.append(Units(members, layout, torch.stack([places[i] for i in members])))
    return found
