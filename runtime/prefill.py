"""The state of one forward call through a compressed decoder: which tokens remain, level by level."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from ..ir.signal import Need
from .index_maps import compaction_index, inverse_map
from .ledger import Ledger, Level
from .media import MediaGroup
from .sites import LiveSite, carried_out


@dataclass
class CallState:
    """What one forward call knows; it starts with every token and loses some at each site.

    Attributes:
        ledger: the running sequence before this call.
        groups: media tokens of the call that remain so far; empty in a decoding step.
        batch, length: shape of the call's sequence as the caller gave it.
        pad_left: side on which rows that keep fewer tokens are filled.
        encoder_rows: (media, encoder tokens) attention rows read while the media were encoded.
        kept: (B, P) places in the call's sequence of the tokens that remain; None is all of them.
        valid: (B, P) bool, False where a row of `kept` is filled up; None where no row is.
        entered: `kept` as it was at the decoder's input.
        levels: levels of the whole sequence, past included, by first layer.
        selections: by site, (media, K) indices in each medium's own uncompressed stream.
    """

    ledger: Ledger
    groups: list[MediaGroup]
    batch: int
    length: int
    device: torch.device
    pad_left: bool = True
    encoder_rows: dict[Need, torch.Tensor] = field(default_factory=dict)
    kept: torch.Tensor | None = None
    valid: torch.Tensor | None = None
    entered: torch.Tensor | None = None
    levels: dict[int, Level] = field(default_factory=dict)
    selections: dict[str, torch.Tensor] = field(default_factory=dict)

    def run(self, sites: list[LiveSite], hidden: torch.Tensor, *, forced: bool) -> tuple[torch.Tensor, bool]:
        """Run the passes placed at one point of the decoder.

        Args:
            sites: the placements at this point, in order.
            hidden: (B, P, D) hidden states of the tokens that remain.
            forced: whether passes that keep every token run too.

        Returns:
            The hidden states, merged tokens standing at their representatives' places but nothing removed yet, and
            whether any pass acted; `kept` and `valid` say what remains.
        """
        if not self.groups or not sites:
            return hidden, False
        keep = self._keep_mask()
        removed, acted = 0, False
        for site in sites:
            for place, group in enumerate(self.groups):
                if site.acts_on(group, forced=forced):
                    hidden, remaining = self._compress(site, group, hidden)
                    keep.view(-1)[group.positions.reshape(-1)] = False
                    keep.view(-1)[remaining.positions.reshape(-1)] = True
                    removed += group.positions.numel() - remaining.positions.numel()
                    self.groups[place], acted = remaining, True
                    self._note(site, remaining)
        if acted:
            self._settle(keep, hidden.shape[1] - removed)
        return hidden, acted

    def level(self, layer: int, *, entering: int) -> Level:
        """The whole sequence as layers from `layer` on see it; `entering` counts past tokens at the decoder's input."""
        kept = self._everything() if self.kept is None else self.kept
        index = kept + self.ledger.logical
        columns = index if layer == 0 else self.rows(kept) + entering
        past = self._past(layer)
        if past is None:
            return Level(layer, index, columns, self.valid)
        return past.extended(index, columns, self.valid)

    def rows(self, kept: torch.Tensor) -> torch.Tensor:
        """(B, P) places of the kept tokens in the part of the call's sequence that entered the decoder."""
        return kept if self.entered is None else inverse_map(self.entered, self.length).gather(1, kept)

    def places(self, before: torch.Tensor | None) -> torch.Tensor:
        """(B, P) places of the kept tokens in hidden states that held the tokens of `before` (None: all)."""
        kept = self._everything() if self.kept is None else self.kept
        return kept if before is None else inverse_map(before, self.length).gather(1, kept)

    def _compress(self, site: LiveSite, group: MediaGroup, hidden: torch.Tensor) -> tuple[torch.Tensor, MediaGroup]:
        places = self._physical(group.positions)
        flat = hidden.reshape(-1, hidden.shape[-1])
        features = flat[places]
        compression = site.compress(group, features, self._signals(site, group, places, hidden.shape[1]))
        replaced = carried_out(compression, features)
        if replaced is not None:
            targets = places.gather(1, compression.index).reshape(-1)
            flat = flat.index_copy(0, targets, replaced.reshape(-1, flat.shape[-1]))
        return flat.view_as(hidden), group.compressed(compression.index, site.target(group.layout))

    def _signals(self, site: LiveSite, group: MediaGroup, places: torch.Tensor, width: int) -> dict[Need, torch.Tensor]:
        """The signals of a site for one group, (M, n): encoder rows by medium, decoder rows by the tokens' places."""
        found = {}
        for need in site.tapped("encoder"):
            row = self.encoder_rows[need][group.members]
            found[need] = row[:, -group.uncompressed :].gather(1, group.selected)
        for need, tap in site.tapped("decoder").items():
            row = tap.row if tap.row is not None else tap.take()
            found[need] = row[places // width, row.shape[1] - width + places % width]
        return found

    def _physical(self, positions: torch.Tensor) -> torch.Tensor:
        """Flat places in the current hidden states of flat positions in the call's sequence."""
        if self.kept is None:
            return positions
        row, place = positions // self.length, positions % self.length
        return row * self.kept.shape[1] + inverse_map(self.kept, self.length)[row, place]

    def _keep_mask(self) -> torch.Tensor:
        """(B, L) bool: what of the call's sequence remains so far."""
        if self.kept is None:
            return torch.ones(self.batch, self.length, dtype=torch.bool, device=self.device)
        keep = torch.zeros(self.batch, self.length, dtype=torch.bool, device=self.device)
        tokens = torch.ones_like(self.kept, dtype=torch.bool) if self.valid is None else self.valid
        return keep.scatter(1, self.kept, tokens)

    def _settle(self, keep: torch.Tensor, width: int) -> None:
        """Fix what remains. One row's width follows from shapes; rows of a batch may differ and must be counted."""
        lengths = [width] if self.batch == 1 else keep.sum(dim=1).tolist()
        self.kept = compaction_index(keep, max(lengths), pad_left=self.pad_left)
        self.valid = None if min(lengths) == max(lengths) else keep.gather(1, self.kept)

    def _note(self, site: LiveSite, group: MediaGroup) -> None:
        """Remember what a site kept, media of several layouts below each other where their counts agree."""
        name = site.placement.site
        earlier = self.selections.get(name)
        joined = earlier is not None and earlier.shape[1] == group.selected.shape[1] and len(self.groups) > 1
        self.selections[name] = (
            torch.cat([earlier, group.selected]) if joined and earlier is not None else group.selected
        )

    def _past(self, layer: int) -> Level | None:
        """The level before this call: its own, else that of the nearest earlier layer, else every past token."""
        ledger = self.ledger
        if layer in ledger.levels or ledger.logical == 0:
            return ledger.levels.get(layer)
        nearest = max((first for first in ledger.levels if first < layer), default=None)
        if nearest is None:
            everything = torch.arange(ledger.logical, device=self.device).expand(self.batch, -1)
            return Level(layer, everything, everything)
        level = ledger.levels[nearest]
        entered = torch.arange(level.length, device=self.device).expand_as(level.index)
        return Level(layer, level.index, level.columns if nearest else entered, level.valid)

    def _everything(self) -> torch.Tensor:
        return torch.arange(self.length, device=self.device).expand(self.batch, -1)
