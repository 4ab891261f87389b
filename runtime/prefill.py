"""The state of one forward call through a compressed decoder: which tokens remain, level by level."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from ..ir.layout import Layout
from ..ir.signal import Need
from ..passes import Compression
from ..passes.primitives.merge import group_sums
from .eagerly import eagerly
from .index_maps import compaction_index, inverse_map, placeholder_positions
from .ledger import Ledger, Level
from .media import MediaGroup
from .reading.signals import GroupSignals, TextSlots, of_group
from .sites import PROMPT, LiveSite, carried_out

_OTHERS = "others"
"""Stands in a count by modality for tokens that are no medium's."""


@dataclass(frozen=True)
class Merge:
    """One merging compression: flat `positions` (M, n) in the call's sequence of what it took, and what it did."""

    modality: str
    positions: torch.Tensor
    compression: Compression


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
        chosen: by site, the groups as they left it.
        merges: what was merged so far, in order, for features that enter the decoder elsewhere.
        sizes: (B, L) float32, how many tokens attention takes each place of the call's sequence for; None is one.
        removed: tokens that were removed so far, over all rows, by modality.
        origins: by group, its `members` and the positions of all tokens of its media.
        text: where the text stands, once a signal asked for it.
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
    chosen: dict[str, list[MediaGroup]] = field(default_factory=dict)
    merges: list[Merge] = field(default_factory=list)
    sizes: torch.Tensor | None = None
    removed: Counter[str] = field(default_factory=Counter)
    origins: list[tuple[torch.Tensor, torch.Tensor]] = field(init=False)
    text: TextSlots | None = None

    def __post_init__(self) -> None:
        self.origins = [(group.members, group.positions) for group in self.groups]

    @eagerly  # passes run once for each prompt; a graph of them would be of that prompt's length
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
        before, acted = self.removed.total(), False
        for site in sites:
            if site.method.is_adaptive:
                self._part(site.modalities)
            mine = [place for place, group in enumerate(self.groups) if site.acts_on(group, forced=forced)]
            for place in mine:
                group = self.groups[place]
                hidden, remaining = self._compress(site, group, hidden)
                keep.view(-1)[group.positions.reshape(-1)] = False
                keep.view(-1)[remaining.positions.reshape(-1)] = True
                self.removed[group.modality] += group.positions.numel() - remaining.positions.numel()
                self.groups[place], acted = remaining, True
            if mine:
                left = [group for group in self.groups if group.modality in site.modalities]
                self.chosen[site.placement.site] = [*self.chosen.get(site.placement.site, []), *left]
        if acted:
            self._settle(keep, hidden.shape[1] - (self.removed.total() - before))
        return hidden, acted

    def _part(self, modalities: Sequence[str]) -> None:
        """Give each medium of `modalities` a group of its own, since content will decide how many tokens it keeps."""
        pairs = list(zip(self.groups, self.origins, strict=True))
        self.groups, self.origins = [], []
        for group, (_, whole) in pairs:
            parts = group.parted() if group.modality in modalities else [group]
            rows = torch.split(whole, 1) if len(parts) > 1 else [whole]
            self.groups += parts
            self.origins += [(part.members, row) for part, row in zip(parts, rows, strict=True)]

    def leave_out(self, modality: str, kept: torch.Tensor, layout: Layout) -> None:
        """Drop all but `kept` (media, K) of the media of a modality before the decoder runs, as the encoder did."""
        mine = {place: group for place, group in enumerate(self.groups) if group.modality == modality}
        self.narrow({place: group.compressed(kept[group.members], layout) for place, group in mine.items()})

    def narrow(self, remaining: Mapping[int, MediaGroup], others: Sequence[torch.Tensor] = ()) -> None:
        """Replace groups, by their place, with what remains of them; `others` are flat positions that leave as well."""
        keep, before = self._keep_mask(), self.removed.total()
        for place, group in remaining.items():
            was = self.groups[place].positions
            keep.view(-1)[was.reshape(-1)] = False
            keep.view(-1)[group.positions.reshape(-1)] = True
            self.removed[group.modality] += was.numel() - group.positions.numel()
            self.groups[place] = group
        for positions in others:
            keep.view(-1)[positions.reshape(-1)] = False
            self.removed[_OTHERS] += positions.numel()
        self._settle(keep, self.remaining().shape[1] - (self.removed.total() - before))

    def remaining(self) -> torch.Tensor:
        """(B, P) int64 places in the call's sequence of the tokens that remain."""
        everything = torch.arange(self.length, device=self.device).expand(self.batch, -1)
        return everything if self.kept is None else self.kept

    def carried(
        self, rows: torch.Tensor, present: torch.Tensor, *, modalities: Sequence[str]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Features of media tokens that enter beside the sequence, for the tokens that remain of it.

        Args:
            rows: (R, D), one row for each set entry of `present`, in order. present: (B, L) bool.
            modalities: whose tokens `present` marks.

        Returns:
            The rows that remain, merged where tokens were, and the (B, P) mask of where they stand.
        """
        if self.kept is None:
            return rows, present
        rank = present.reshape(-1).long().cumsum(0) - 1
        for merge in (merge for merge in self.merges if merge.modality in modalities):
            source = rank[merge.positions]
            replaced = carried_out(merge.compression, rows[source])
            if replaced is not None:
                places = source.gather(1, merge.compression.index)
                rows = rows.index_copy(0, places.reshape(-1), replaced.reshape(-1, rows.shape[-1]))
        standing = present.gather(1, self.kept)
        standing = standing if self.valid is None else standing & self.valid
        flat = self.kept + self.length * torch.arange(self.batch, device=self.device)[:, None]
        order = placeholder_positions(standing, rows.shape[0] - sum(self.removed[name] for name in modalities))
        return rows[rank[flat.reshape(-1)[order]]], standing

    def level(self, layer: int, *, entering: int) -> Level:
        """The whole sequence as layers from `layer` on see it; `entering` counts past tokens at the decoder's input."""
        kept = self.remaining()
        index = kept + self.ledger.logical
        columns = index if layer == 0 else self.rows(kept) + entering
        sizes = None if self.sizes is None else self.sizes.gather(1, kept)
        past = self._past(layer)
        if past is None:
            return Level(layer, index, columns, self.valid, sizes)
        return past.extended(index, columns, self.valid, sizes)

    def rows(self, kept: torch.Tensor) -> torch.Tensor:
        """(B, P) places of the kept tokens in the part of the call's sequence that entered the decoder."""
        return kept if self.entered is None else inverse_map(self.entered, self.length).gather(1, kept)

    def places(self, before: torch.Tensor | None) -> torch.Tensor:
        """(B, P) places of the kept tokens in hidden states that held the tokens of `before` (None: all)."""
        kept = self.remaining()
        return kept if before is None else inverse_map(before, self.length).gather(1, kept)

    def _compress(self, site: LiveSite, group: MediaGroup, hidden: torch.Tensor) -> tuple[torch.Tensor, MediaGroup]:
        places = self.physical(group.positions)
        flat = hidden.reshape(-1, hidden.shape[-1])
        features = flat[places]
        compression = site.compress(group, features, self._signals(site, group, places, hidden))
        replaced = carried_out(compression, features)
        if replaced is not None:
            self.merges.append(Merge(group.modality, group.positions, compression))
            targets = places.gather(1, compression.index).reshape(-1)
            flat = flat.index_copy(0, targets, replaced.reshape(-1, flat.shape[-1]))
            if site.method.weighs_attention and compression.index.shape[1] < features.shape[1]:
                self._weigh(group, compression)
        return flat.view_as(hidden), group.compressed(compression.index, site.left(group.layout, compression))

    def _weigh(self, group: MediaGroup, compression: Compression) -> None:
        """Let each merged token count as all tokens that it stands for."""
        assert compression.assign is not None
        if self.sizes is None:
            self.sizes = torch.ones(self.batch, self.length, device=self.device)
        flat, groups = self.sizes.view(-1), compression.index.shape[1]
        added, _ = group_sums(flat[group.positions][..., None], compression.assign, groups)
        flat[group.positions.gather(1, compression.index).reshape(-1)] = added.reshape(-1)

    def _signals(
        self, site: LiveSite, group: MediaGroup, places: torch.Tensor, hidden: torch.Tensor
    ) -> dict[Need, torch.Tensor]:
        """The signals of a site for one group: of the encoder by medium, of the decoder by the tokens' places."""
        found = {need: of_group(self.encoder_rows[need], group) for need in site.tapped("encoder")}
        taps = site.tapped("decoder")
        prompt = taps.pop(PROMPT).take() if PROMPT in taps else None
        signals = GroupSignals(self, group, places, hidden, prompt)
        return found | {need: signals.signal(need, tap) for need, tap in taps.items()}

    def physical(self, positions: torch.Tensor) -> torch.Tensor:
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
        return Level(layer, level.index, level.columns if nearest else entered, level.valid, level.sizes)


def selections(chosen: dict[str, list[MediaGroup]]) -> dict[str, torch.Tensor]:
    """By site, (media, K) int64 indices of what was kept in each medium's own uncompressed stream.

    One row for each medium in the call's order, images before clips before sounds; rows of media that keep fewer are
    filled with -1.
    """
    return {site: _rows(groups) for site, groups in chosen.items()}


def _rows(groups: list[MediaGroup]) -> torch.Tensor:
    """The selected indices of several groups, a row for each medium."""
    if len(groups) == 1:
        return groups[0].selected
    width = max(group.selected.shape[1] for group in groups)
    modalities = list(dict.fromkeys(group.modality for group in groups))
    ordered = [
        (modalities.index(group.modality), int(member), torch.nn.functional.pad(row, (0, width - len(row)), value=-1))
        for group in groups
        for member, row in zip(group.members.tolist(), group.selected, strict=True)
    ]
    return torch.stack([row for _, _, row in sorted(ordered, key=lambda item: item[:2])])
