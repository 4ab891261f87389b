"""One run of an encoder under a plan: its stream of tokens, and what of it reaches the decoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import accumulate
from typing import Any

import torch

from ...common.errors import BadInput
from ...ir.layout import Layout
from ...ir.signal import Need
from ..adapters.encoder_flow import EncoderFlow
from ..media import MediaGroup
from ..reading.readers import Reader
from ..reading.taps import Tap
from ..sites import LiveSite
from .layers import LayerArguments, as_rows
from .signals import compacted, take
from .stream import EncoderStream, Step, StreamGroup


class EncoderRun:
    """What one forward of an encoder has kept so far; the stream opens with the first states that a site sees.

    Args:
        arguments: of the encoder's forward, by name.
        smaller: tells the layout of one row once it runs, where a pass has made its input smaller; else None.
        taps: all that is read in the encoder, which follows the tokens.

    `pieces` are the rows of each medium where the encoder takes media in several, known once the decoder is entered.
    """

    def __init__(
        self,
        flow: EncoderFlow,
        arguments: Mapping[str, Any],
        taps: list[Tap | Reader],
        *,
        smaller: Callable[[], Layout | None],
        forced: bool,
    ) -> None:
        self.flow, self.arguments, self.taps, self.smaller, self.forced = flow, arguments, taps, smaller, forced
        self.stream: EncoderStream | None = None
        self.layer_arguments: LayerArguments | None = None
        self.pieces: dict[int, list[int]] = {}

    @property
    def opened(self) -> EncoderStream:
        """The stream, once a site has seen states."""
        assert self.stream is not None
        return self.stream

    @property
    def compressed(self) -> bool:
        """Whether any site has acted."""
        return self.stream is not None and self.stream.current is not None

    @property
    def chosen(self) -> dict[str, torch.Tensor]:
        """What was kept after each site, a row for each medium."""
        if self.stream is None or not self.pieces:
            return {} if self.stream is None else self.stream.chosen
        units = self.stream.groups[0].units.layout.count
        return {site: _rows_joined(kept, self.pieces, units) for site, kept in self.stream.chosen.items()}

    def open(self, states: torch.Tensor) -> EncoderStream:
        """The stream, opened on (R, L, D) or (L, D) states of the run before any site of it."""
        if self.stream is None:
            rows = as_rows(states)
            units = self.flow.arrange(self.arguments, rows, self.smaller())
            self.stream = EncoderStream(units, rows.shape[0], rows.shape[1])
            self.layer_arguments = LayerArguments(self.stream)
        return self.stream

    def step(self, site: LiveSite, rows: torch.Tensor) -> Step | None:
        """Run the pass of one site on (R, P, D) states; what was read in the encoder follows."""
        stream = self.open(rows)

        def signal(need: Need, places: torch.Tensor) -> torch.Tensor:
            return take(site.taps[need].row, places, need)

        step = stream.step(site, rows, signal, forced=self.forced)
        if step is not None:
            for tap in self.taps:
                tap.row = compacted(tap.row, step.index)
        return step

    def merge_groups(self, size: int) -> torch.Tensor:
        """(groups,) numbers of the merge groups of `size` consecutive tokens of a packed run that remain."""
        current = self.opened.current
        assert current is not None
        return current[0, ::size] // size

    def remaining(self, groups: list[MediaGroup], sequence: int) -> list[tuple[torch.Tensor, Layout]]:
        """What each group of a call's media keeps: (M, K) indices and the layout that remains.

        The groups are those of the run, in order; under beams each prompt's media stand once for every beam.

        Raises:
            BadInput: the call has other media than the encoder ran on.
        """
        encoded = self.opened.groups
        pieces = _pieces(groups, encoded)
        if pieces is not None:
            self.pieces = {m: row for mine in pieces for m, row in mine.items()}
            device = encoded[0].kept.device
            return [_joined(encoded[0], torch.tensor(list(mine.values()), device=device)) for mine in pieces]
        found, order = [], media_order(groups, sequence, sum(len(group.units.members) for group in encoded))
        if len(groups) != len(encoded):
            raise BadInput("the prompt has other media than the encoder ran on; encode them with the plan applied")
        for group, mine in zip(groups, encoded, strict=True):
            kept = mine.kept
            if order is not None:
                rows = [mine.units.members.index(order[member]) for member in group.members.tolist()]
                kept = kept[rows]
            found.append((kept, mine.layout.without_prefix()))
        return found


def _pieces(groups: list[MediaGroup], encoded: list[StreamGroup]) -> list[dict[int, list[int]]] | None:
    """By group and medium the rows of the encoder that make up the medium, where it takes them in pieces; else None.

    Frames of a clip and chunks of a sound follow each other, medium after medium.
    """
    units, rows = encoded[0].units.layout.count, len(encoded[0].units.members)
    members = [list(range(len(g.members))) if len(groups) == 1 else g.members.tolist() for g in groups]
    counts = {m: g.seen // units for g, mine in zip(groups, members, strict=True) for m in mine}
    if len(encoded) > 1 or sum(counts.values()) != rows or rows == len(counts):
        return None
    starts = dict(zip(sorted(counts), accumulate((counts[m] for m in sorted(counts)), initial=0), strict=False))
    return [{m: [starts[m] + i for i in range(counts[m])] for m in mine} for mine in members]


def _joined(group: StreamGroup, rows: torch.Tensor) -> tuple[torch.Tensor, Layout]:
    """What media keep whose pieces are (M, r) `rows` of a group, as indices in their whole streams."""
    pieces, left = rows.shape[1], group.layout
    starts = group.units.layout.count * torch.arange(pieces, device=rows.device)
    kept = (group.kept[rows] + starts[:, None]).flatten(1)
    return kept, Layout(kept.shape[1], None if left.grid is None else (pieces * left.grid[0], *left.grid[1:]))


def _rows_joined(kept: torch.Tensor, pieces: dict[int, list[int]], units: int) -> torch.Tensor:
    """(media, K) selections of media from those of their pieces of `units` each; shorter rows are filled with -1."""
    rows = [
        torch.cat([kept[row] + units * place for place, row in enumerate(pieces[medium])]) for medium in sorted(pieces)
    ]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-1)


def media_order(groups: list[MediaGroup], sequence: int, encoded: int) -> dict[int, int] | None:
    """By medium of a call which medium of the encoder's run it is, where beams have repeated them; else None.

    Beams repeat the whole group of a prompt's media, row after row.
    """
    media = sum(len(group.members) for group in groups)
    if media == encoded:
        return None
    rows = {m: int(p) // sequence for g in groups for m, p in zip(g.members.tolist(), g.positions[:, 0], strict=True)}
    beams, found, first = media // encoded, {}, 0
    counts: dict[int, list[int]] = {}
    for member in sorted(rows):
        counts.setdefault(rows[member], []).append(member)
    for number, row in enumerate(sorted(counts)):
        found.update({member: first + place for place, member in enumerate(counts[row])})
        first += len(counts[row]) if number % beams == beams - 1 else 0
    return found
