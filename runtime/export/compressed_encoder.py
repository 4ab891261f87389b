"""One modality from its features to the tokens that a plan leaves for the decoder, as a module without a decoder."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import nn

from ...common.errors import BadInput
from ...ir.layout import Layout
from ...ir.signal import Need
from ...passes.primitives.merge import gather
from ..adapters import Adapter, Medium
from ..encoder.sites import EncoderSites
from ..sites import LiveSite, carried_out
from .smaller_input import SmallerInput


class CompressedEncoder(nn.Module):
    """Encoder, projector, and the passes placed before and inside the encoder and at the projector's output.

    It runs what a live call runs: the family's own `get_*_features`, the same passes with the same signals, and the
    same merging; only the sequence of the decoder is not there.

    Args:
        model: a live model. name: the argument of its forward that holds the modality's features.
        medium: how each medium's tokens are arranged. smaller: the placement before the encoder, None where it gets
            what the model gets. inside: the placements inside the encoder, hooked into it.
        sites: those at the projector's output, in order, with their taps installed.
        encoded: what the family's code gives for some media, which shows in what form it gives it.
    """

    def __init__(
        self,
        model: nn.Module,
        adapter: Adapter,
        modality: str,
        *,
        name: str,
        medium: Medium,
        smaller: SmallerInput | None,
        inside: EncoderSites | None,
        sites: Sequence[LiveSite],
        encoded: Any,
    ) -> None:
        super().__init__()
        self.model, self.adapter, self.modality, self.name = model, adapter, modality, name
        self.smaller, self.inside, self.sites, self.layout = smaller, inside, list(sites), medium.layout
        self.taps = {need: tap for site in sites for need, tap in site.tapped("encoder").items()}
        # Families that give a list cut the projector's output into it, which would fix the number of media.
        self.cut = not isinstance(getattr(encoded, "pooler_output", encoded), torch.Tensor)
        self.width = _joined(encoded).shape[-1]
        held, total = set(medium.separators), self.encoded.total
        self.places = [place for place in range(medium.layout.prefix, total) if place not in held]
        self.staying = [place for place in range(total) if place not in set(self.places)]

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Encode media and compress them.

        Args:
            features: (M, ...) pixels of pictures or clips, or spectra, one entry for each medium.

        Returns:
            (M, K, D) what goes on to the decoder, tokens that always stay among it, and (M, K) int64 its places in
            the medium's uncompressed tokens, sorted.
        """
        for tap in self.taps.values():
            tap.clear()
        with nullcontext() if self.smaller is None else self.smaller.interpolating():
            given = features if self.smaller is None else self.smaller(features)
            whole = self._encoded(given).reshape(-1, self.encoded.total, self.width)
        signals = {need: self._signal(tap.take(), whole.shape[0]) for need, tap in self.taps.items()}
        places = torch.tensor(self.places, device=whole.device)
        selected, layout = self._left_by_encoder(whole)
        for site in self.sites:
            target = site.target(layout)
            if target.count != layout.count:
                whole, selected = _compressed(site, layout, whole, selected, places, signals)
                layout = target
        index = places[selected]
        if self.staying:
            staying = torch.tensor(self.staying, device=whole.device).expand(whole.shape[0], -1)
            index = torch.cat([index, staying], dim=1).sort(dim=1).values
        return gather(whole, index), index if self.smaller is None else self.smaller.kept[index]

    @property
    def placed(self) -> list[LiveSite]:
        """Every placement, in order."""
        first = [] if self.smaller is None else [self.smaller.site]
        return [*first, *([] if self.inside is None else self.inside.sites), *self.sites]

    @property
    def encoded(self) -> Layout:
        """How the tokens of each medium that is encoded are arranged."""
        return self.layout if self.smaller is None else self.smaller.layout

    def _left_by_encoder(self, whole: torch.Tensor) -> tuple[torch.Tensor, Layout]:
        """(M, n) of the compressible tokens that come out of the encoder, and how they are arranged."""
        if self.inside is None or self.inside.run is None or not self.inside.run.compressed:
            everything = torch.arange(len(self.places), device=whole.device).expand(whole.shape[0], -1)
            return everything, Layout(self.encoded.count, self.encoded.grid)
        group = self.inside.run.opened.groups[0]
        return group.kept, group.layout.without_prefix()

    def _encoded(self, features: torch.Tensor) -> torch.Tensor:
        """(..., D) features of all media, as the family's own code computes them."""
        arguments = {self.name: features}
        if not self.cut:
            return _joined(self.adapter.encode(self.model, self.modality, arguments))
        projector = self.adapter.projector(self.model, self.modality)
        assert projector is not None
        reader = _Projected()
        hook = projector.register_forward_hook(reader)
        try:
            self.adapter.encode(self.model, self.modality, arguments)
        finally:
            hook.remove()
        return reader.features

    def _signal(self, read: Any, media: Any) -> torch.Tensor:
        """What was read of the compressible tokens of each medium, (M, n, ...).

        Raises:
            BadInput: the encoder runs on parts of a medium, such as tiles or frames.
        """
        whole = isinstance(read, torch.Tensor) and (torch.compiler.is_exporting() or read.shape[0] == media)
        if not whole:
            raise BadInput(
                f"the {self.modality} encoder runs on parts of a medium, so passes that read its attention cannot be "
                "exported"
            )
        signal: torch.Tensor = read[:, -self.encoded.count :]
        return signal


def _compressed(
    site: LiveSite,
    layout: Layout,
    whole: torch.Tensor,
    selected: torch.Tensor,
    places: torch.Tensor,
    signals: dict[Need, torch.Tensor],
) -> tuple[torch.Tensor, torch.Tensor]:
    """What one placement leaves of (M, total, D) and (M, n): merged tokens stand at their representatives' places."""
    features = gather(whole, places[selected])
    compression = site.run(layout, features, {need: gather(signals[need], selected) for need in site.tapped("encoder")})
    kept = selected.gather(1, compression.index)
    replaced = carried_out(compression, features)
    if replaced is not None:
        whole = whole.scatter(1, places[kept][..., None].expand_as(replaced), replaced)
    return whole, kept


class _Projected:
    """A hook that keeps a projector's output and hands on that of a single medium, to be cut up in its place."""

    features: torch.Tensor

    def __call__(self, module: nn.Module, arguments: Any, output: torch.Tensor) -> torch.Tensor:
        self.features = output
        return output.new_zeros(1, *output.shape[1:])


def _joined(output: Any) -> torch.Tensor:
    """The features of an encoder's output, however a family stacks them."""
    found = getattr(output, "pooler_output", output)
    if isinstance(found, torch.Tensor):
        return found
    return torch.cat([part.reshape(-1, part.shape[-1]) for part in found])
