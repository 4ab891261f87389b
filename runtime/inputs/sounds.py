"""Placements at `audio.input`: stretches of sound leave the spectrum, and the encoder runs on what remains.

The towers of Whisper and its kin insist on a full window. Their spectrum is therefore shortened behind that check, at
the first convolution, and each position that remains is given its own position embedding; the tower's output goes back
to its places where a projector and the model's own scatter follow.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ...ir.layout import Layout
from ..adapters import Adapter, Medium
from ..adapters.input_table import SoundForm
from ..index_maps import gather_mask
from ..sites import LiveSite


@dataclass(frozen=True)
class Shortened:
    """The sounds of one tower call.

    Attributes:
        kept: by medium (K,) indices of its units that remain; a unit is what becomes one token.
        rows: (R, W) int64 units of each window that go on, in order; `real` (R, W) bool is False where a row of fewer
            is filled up, None where none is.
    """

    media: tuple[Medium, ...]
    layouts: tuple[Layout, ...]
    kept: tuple[torch.Tensor, ...]
    rows: torch.Tensor
    real: torch.Tensor | None


class SoundSite:
    """Runs the pass at the input of one model's audio tower; each thread has its own run."""

    def __init__(self, model: nn.Module, adapter: Adapter, site: LiveSite, form: SoundForm, *, forced: bool) -> None:
        self.site, self.form, self.forced = site, form, forced
        self.tower: Any = adapter.encoder(model, "audio")
        self._local = threading.local()

    def hook(self) -> list[Any]:
        """Register every hook; returns their handles."""
        positions = KeptPositions(self.tower.embed_positions, self._positions)
        self.tower.__dict__["embed_positions"] = positions  # found before the module, which stays where it is
        return [
            self,
            self.tower.register_forward_pre_hook(self._enter, with_kwargs=True),
            self.tower.conv1.register_forward_pre_hook(self._shorten),
            self.tower.register_forward_hook(self._leave, always_call=True),
        ]

    def remove(self) -> None:
        """Give the tower its own position embeddings back."""
        self.tower.__dict__.pop("embed_positions", None)

    def meet(self, media: list[Medium] | None) -> None:
        """Say which sounds the next run of the tower holds; None where each window is one sound."""
        self._local.media = media

    @property
    def run(self) -> Shortened | None:
        """The last run of this thread."""
        return getattr(self._local, "run", None)

    @property
    def smaller(self) -> Layout | None:
        """The layout of one window of the last run, whose end other hooks may see later; None where it is whole."""
        return None if self.run is None else Layout(self.run.rows.shape[1])

    def _enter(self, tower: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        spectrum = args[0] if args else kwargs["input_features"]
        found = self._choose(spectrum)
        self._local.run = self._local.active = found
        if found is None or (kwargs.get("attention_mask") is None and found.real is None):
            return None
        return args, {**kwargs, "attention_mask": self._mask(kwargs.get("attention_mask"), found, spectrum.dtype)}

    def _choose(self, spectrum: torch.Tensor) -> Shortened | None:
        """Which units of (R, bands, frames) spectra remain; None where all do."""
        units = spectrum.shape[2] // self.form.frames
        given = getattr(self._local, "media", None)
        media = tuple(given) if given is not None else (Medium(Layout(units)),) * len(spectrum)
        bare = [Layout(medium.layout.count, medium.layout.grid) for medium in media]
        targets = tuple(self.site.target(layout) for layout in bare)
        if all(target.count == layout.count for target, layout in zip(targets, bare, strict=True)):
            if not self.forced:
                return None
            everything = torch.arange(units, device=spectrum.device).expand(len(spectrum), -1)
            kept = tuple(torch.arange(layout.count, device=spectrum.device) for layout in bare)
            return Shortened(media, targets, kept, everything, None)
        whole = spectrum[..., : units * self.form.frames]
        behind = whole.reshape(*whole.shape[:2], units, -1).transpose(1, 2).flatten(2)
        kept = self._kept(behind, bare, units)
        rows, real = _windows(kept, [layout.count for layout in bare], units, len(spectrum))
        return Shortened(media, targets, kept, rows, real)

    def _kept(self, behind: torch.Tensor, layouts: list[Layout], units: int) -> tuple[torch.Tensor, ...]:
        """The units that the pass keeps of each sound; sounds of one length are compressed together."""
        kept: dict[int, torch.Tensor] = {}
        flat = behind.flatten(0, 1)
        starts, row = [], 0
        for layout in layouts:
            starts.append(row * units)
            row += -(-layout.count // units)
        for layout in dict.fromkeys(layouts):
            members = [number for number, other in enumerate(layouts) if other == layout]
            values = torch.stack([flat[starts[n] : starts[n] + layout.count] for n in members])
            kept.update(zip(members, self.site.run(layout, values, {}).index, strict=True))
        return tuple(kept[number] for number in range(len(layouts)))

    def _shorten(self, convolution: nn.Module, args: tuple[torch.Tensor, ...]) -> Any:
        """The spectrum of what remains; fillers are silent zeros, as beyond the end of a sound."""
        found: Shortened | None = getattr(self._local, "active", None)
        if found is None:
            return None
        frames = _spread_index(found.rows, self.form.frames)
        spectrum = args[0].gather(2, frames[:, None].expand(-1, args[0].shape[1], -1))
        if found.real is not None:
            spectrum = spectrum * found.real.repeat_interleave(self.form.frames, dim=1)[:, None].to(spectrum.dtype)
        return (spectrum, *args[1:])

    def _positions(self) -> torch.Tensor | None:
        """(R, P) original positions of the run in progress."""
        found: Shortened | None = getattr(self._local, "active", None)
        return None if found is None else _spread_index(found.rows, self.form.frames // 2)

    def _mask(self, mask: torch.Tensor | None, found: Shortened, dtype: torch.dtype) -> torch.Tensor | None:
        """The tower's mask (R, 1, P, P) for what remains, fillers closed."""
        places = _spread_index(found.rows, self.form.frames // 2)
        made = gather_mask(mask, places, places)
        if found.real is None:
            return made
        open_keys = found.real.repeat_interleave(self.form.frames // 2, dim=1)[:, None, None]
        if made is None:
            made = torch.ones(len(places), 1, places.shape[1], places.shape[1], dtype=torch.bool, device=places.device)
        if made.dtype == torch.bool:
            return made & open_keys
        return made.masked_fill(~open_keys, torch.finfo(made.dtype).min)

    def _leave(self, tower: nn.Module, args: Any, output: Any) -> Any:
        """Put the tower's output back to its places, where something follows that counts them."""
        found: Shortened | None = getattr(self._local, "active", None)
        self._local.active = None
        if found is None or output is None or not self.form.scatters:
            return output
        hidden = output.last_hidden_state
        index = _spread_index(found.rows, self.form.outputs)
        length = self.tower.config.max_source_positions * 2 // self.form.frames * self.form.outputs
        if found.real is not None:
            index = index.where(found.real.repeat_interleave(self.form.outputs, dim=1), length)
        full = hidden.new_zeros(hidden.shape[0], length + 1, hidden.shape[2])
        full.scatter_(1, index[..., None].expand_as(hidden), hidden)
        output.last_hidden_state = full[:, :length]
        return output


class KeptPositions:
    """Stands for a tower's table of position embeddings and gives those of the positions that remain."""

    def __init__(self, table: nn.Embedding, positions: Any) -> None:
        self.table, self.positions = table, positions

    @property
    def weight(self) -> torch.Tensor:
        """(P, D), or (R, P, D) where each window keeps its own."""
        kept = self.positions()
        return self.table.weight if kept is None else self.table.weight[kept]

    def __call__(self, numbers: torch.Tensor) -> torch.Tensor:
        """The embeddings of all positions, or of those that remain."""
        kept = self.positions()
        found: torch.Tensor = self.table(numbers if kept is None else kept)
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self.table, name)


def _windows(
    kept: tuple[torch.Tensor, ...], counts: list[int], units: int, windows: int
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """(R, W) units of each window that go on, and which are real; a sound longer than a window takes several."""
    rows: list[torch.Tensor] = []
    for index, count in zip(kept, counts, strict=True):
        needed = -(-count // units)
        if needed == 1:
            rows.append(index)
        else:  # how the units share out among its windows is up to content: one host synchronisation
            rows += [index[index // units == window] - window * units for window in range(needed)]
    rows += [rows[0][:0]] * (windows - len(rows))
    width = max(len(row) for row in rows)
    if all(len(row) == width for row in rows):
        return torch.stack(rows), None
    padded = nn.utils.rnn.pad_sequence(rows, batch_first=True)
    lengths = torch.tensor([len(row) for row in rows], device=padded.device)
    return padded, torch.arange(width, device=padded.device) < lengths[:, None]


def _spread_index(units: torch.Tensor, each: int) -> torch.Tensor:
    """(R, W * each) places of the parts of (R, W) units."""
    return (units[..., None] * each + torch.arange(each, device=units.device)).flatten(1)
