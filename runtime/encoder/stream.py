"""The tokens of one encoder run: which remain, in units of the decoder's tokens, and what each stands for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import accumulate

import torch

from ...ir.layout import Layout
from ...ir.signal import Need
from ...passes import Tokens
from ...passes.primitives.merge import gather, group_sums
from ..adapters.encoder_flow import Units
from ..index_maps import compaction_index, gather_sequence, inverse_map
from ..sites import LiveSite, carried_out

Signals = Callable[[Need, torch.Tensor], torch.Tensor]
"""The signal of a need for units whose tokens stand at (m, K, p) flat places of the current states."""


@dataclass
class StreamGroup:
    """Media of one layout: `kept` (m, K) indices of the units that remain, `layout` how they are arranged.

    `sizes` (m, K) float32 is how many original units each stands for, None while none was merged.
    """

    units: Units
    layout: Layout
    kept: torch.Tensor
    sizes: torch.Tensor | None = None

    @classmethod
    def of(cls, units: Units) -> StreamGroup:
        """The group before anything happened."""
        media, count = units.tokens.shape[:2]
        return cls(units, units.layout, torch.arange(count, device=units.tokens.device).expand(media, -1))

    def tokens(self) -> torch.Tensor:
        """(m, K, p) flat places in the uncompressed run of the tokens that remain."""
        return gather(self.units.tokens, self.kept)


@dataclass
class Step:
    """What one site did to (R, P, D) states: `index` (R, Q) of the tokens that remain, and how they changed.

    `states` (R, Q, D) are the states that go on; `added` is what merging added to the representatives' own states,
    None where nothing was merged. `before` is P.
    """

    states: torch.Tensor
    index: torch.Tensor
    added: torch.Tensor | None
    before: int


class EncoderStream:
    """What remains of an encoder run of `rows` sequences of `length` tokens each.

    Attributes:
        groups: the media. current: (R, P) places in its uncompressed row of each token that remains, None for all.
        chosen: by site, (media, K) units kept, rows filled with -1.
        weighed: later attention must count a merged token as often as the tokens that it stands for.
    """

    def __init__(self, groups: list[Units], rows: int, length: int) -> None:
        self.groups = [StreamGroup.of(units) for units in groups]
        self.rows, self.length = rows, length
        self.current: torch.Tensor | None = None
        self.chosen: dict[str, torch.Tensor] = {}
        self.weighed = False
        self._sizes: torch.Tensor | None = None

    def step(self, site: LiveSite, states: torch.Tensor, signals: Signals, *, forced: bool) -> Step | None:
        """Run the pass of `site` on (R, P, D) states; None where it keeps everything."""
        if not forced and all(site.target(g.layout).count == g.layout.count for g in self.groups):
            return None
        flat, merged = states.reshape(-1, states.shape[-1]), False
        keep = torch.ones(flat.shape[0], dtype=torch.bool, device=states.device)
        removed = 0
        for group in self.groups:
            before = group.layout.count
            places = self.places(group.tokens())
            index, replaced = self._compress(site, group, flat, places, signals)
            chosen = gather(places, index)
            if replaced is not None:
                flat, merged = flat.index_copy(0, chosen.reshape(-1), replaced.reshape(-1, flat.shape[-1])), True
            keep[places.reshape(-1)] = False
            keep[chosen.reshape(-1)] = True
            removed += (before - group.layout.count) * places.shape[0] * places.shape[2]
        self.chosen[site.placement.site] = self._selections()
        found = compaction_index(
            keep.view(states.shape[:2]), states.shape[1] - removed // states.shape[0], pad_left=True
        )
        after = gather_sequence(flat.view_as(states), found)
        self.current = found if self.current is None else self.current.gather(1, found)
        self._sizes = None
        return Step(after, found, after - gather_sequence(states, found) if merged else None, states.shape[1])

    def places(self, tokens: torch.Tensor) -> torch.Tensor:
        """Flat places in the current states of flat places in the uncompressed run."""
        if self.current is None:
            return tokens
        row, place = tokens // self.length, tokens % self.length
        return row * self.current.shape[1] + inverse_map(self.current, self.length)[row, place]

    def cut(self, width: int) -> None:
        """Follow the model where it takes tokens off the head of each row, such as [CLS], and leaves `width`."""
        lost = (self.length if self.current is None else self.current.shape[1]) - width
        if lost == 0:
            return
        for group in self.groups:
            tokens = group.units.tokens
            moved = tokens // self.length * (self.length - lost) + tokens % self.length - lost
            group.units = replace(group.units, tokens=moved)
        self.length -= lost
        self.current = None if self.current is None else self.current[:, lost:] - lost

    def restored(self, states: torch.Tensor) -> torch.Tensor:
        """(R, L, ...) states with every token in its place again; zeros stand where tokens were dropped."""
        if self.current is None:
            return states
        full = states.new_zeros(self.rows, self.length, *states.shape[2:])
        index = self.current.reshape(*self.current.shape, *[1] * (states.ndim - 2)).expand_as(states)
        return full.scatter(1, index, states)

    def sizes(self) -> torch.Tensor | None:
        """(R, P) float32: how many original tokens each one stands for; None where nothing was merged."""
        if not self.weighed or self.current is None:
            return None
        if self._sizes is None:
            found = torch.ones_like(self.current, dtype=torch.float32).reshape(-1)
            for group in self.groups:
                if group.sizes is not None:
                    places = self.places(group.tokens())
                    found[places.reshape(-1)] = group.sizes[..., None].expand_as(places).reshape(-1)
            self._sizes = found.view_as(self.current)
        return self._sizes

    def unit_ranks(self) -> torch.Tensor:
        """(remaining units,) int64 numbers of the units that remain, medium after medium in the order of the run."""
        if len(self.groups) == 1:
            kept, count = self.groups[0].kept, self.groups[0].units.layout.count
            return (kept + count * torch.arange(kept.shape[0], device=kept.device)[:, None]).flatten()
        counts = {m: group.units.layout.count for group in self.groups for m in group.units.members}
        starts = dict(zip(sorted(counts), accumulate((counts[m] for m in sorted(counts)), initial=0), strict=False))
        return torch.cat([row + starts[member] for member, row in self._by_medium()])

    def unit_count(self) -> int:
        """Units of all media before anything was dropped."""
        return sum(group.kept.shape[0] * group.units.layout.count for group in self.groups)

    def _compress(
        self, site: LiveSite, group: StreamGroup, flat: torch.Tensor, places: torch.Tensor, signals: Signals
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Run the pass on one group; returns the units kept of those that remained, and what replaces them."""
        layout, target = group.layout, site.target(group.layout)
        features = flat[places].flatten(2)
        read = {need: signals(need, places) for need in site.taps}
        found = site.method.compress(Tokens(features, layout, read, sizes=group.sizes), target)
        replaced = carried_out(found, features)
        if found.assign is not None and target.count < layout.count:
            sizes = torch.ones_like(found.assign, dtype=torch.float32) if group.sizes is None else group.sizes
            group.sizes = group_sums(sizes[..., None], found.assign, target.count)[0][..., 0]
            self.weighed = self.weighed or site.method.weighs_attention
        elif group.sizes is not None:
            group.sizes = group.sizes.gather(1, found.index)
        group.layout, group.kept = target, group.kept.gather(1, found.index)
        return found.index, replaced

    def _selections(self) -> torch.Tensor:
        """(media, K) units kept of each medium in the order of the run, filled with -1."""
        if len(self.groups) == 1:
            return self.groups[0].kept
        width = max(group.kept.shape[1] for group in self.groups)
        rows = [torch.nn.functional.pad(row, (0, width - len(row)), value=-1) for _, row in self._by_medium()]
        return torch.stack(rows)

    def _by_medium(self) -> list[tuple[int, torch.Tensor]]:
        """(medium, units that it keeps), in the order of the run."""
        pairs = (zip(group.units.members, group.kept, strict=True) for group in self.groups)
        return sorted((pair for group in pairs for pair in group), key=lambda pair: pair[0])
