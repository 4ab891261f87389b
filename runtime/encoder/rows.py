"""Attention rows of the encoder, kept with the encoder's output: `generate` runs the encoder before the model."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.utils.weak import WeakTensorKeyDictionary

from ...common.errors import BadInput
from ...ir.signal import Need
from ..adapters import Adapter
from ..reading.readers import Reader
from ..reading.taps import Tap


class EncoderRows:
    """Remembers which rows were read while the encoder produced which output.

    `generate`, and a caller who reuses encoder outputs, hand the model precomputed outputs: the rows of exactly that
    run are found by its last hidden state. Rows are forgotten with the output that they belong to.
    """

    def __init__(self, taps: Mapping[Need, Tap | Reader], adapter: Adapter) -> None:
        self.taps, self.adapter = taps, adapter
        self.restored: Callable[[Any], Any] = _as_read
        self._by_output: Any = WeakTensorKeyDictionary()
        self._latest: dict[Need, torch.Tensor] = {}

    def hook(self, encoder: nn.Module) -> list[Any]:
        """Register every hook; returns their handles."""
        if not self.taps:
            return []
        return [
            encoder.register_forward_pre_hook(self._before_encoder),
            encoder.register_forward_hook(self._after_encoder, with_kwargs=True),
        ]

    def rows(self, precomputed: Any, media: int) -> dict[Need, torch.Tensor]:
        """The rows for a prefill with `media` media: of its own encoder run, or of the run that made `precomputed`.

        Raises:
            BadInput: the outputs were computed before the plan was applied, so no row was read, or the encoder's rows
                are not one for each medium, as where it takes a picture in tiles.
        """
        if not self.taps:
            return {}
        if precomputed is None:
            found, order = self._latest, None
        else:
            found = self._by_output.get(getattr(precomputed, "last_hidden_state", None)) or {}
            order = _first_places(precomputed.pooler_output)
        if not found:
            raise BadInput(
                "the encoder outputs were computed before the plan was applied, and the plan reads the encoder's "
                "attention; compute them again while the plan is applied"
            )
        counts = {row.shape[0] for row in found.values()}
        if counts != {media if order is None else len(set(order))}:
            raise BadInput(
                f"the encoder gave rows of {max(counts)} pictures where the prompt has {media} media: this model takes "
                "a medium in parts, and passes that read its encoder's attention cannot be placed in it"
            )
        return {need: row if order is None else row[order] for need, row in found.items()}

    def _before_encoder(self, encoder: nn.Module, args: Any) -> None:
        for tap in self.taps.values():
            tap.clear()

    def _after_encoder(self, encoder: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        """Take what the taps have read."""
        names = list(inspect.signature(encoder.forward).parameters)
        packing = self.adapter.packing(encoder, dict(zip(names, args, strict=False)) | kwargs)
        read = {need: self.restored(tap.take()) for need, tap in self.taps.items()}
        self._latest = read if packing is None else {need: packing.by_medium(parts) for need, parts in read.items()}
        hidden = getattr(output, "last_hidden_state", None)
        if hidden is not None:
            self._by_output[hidden] = self._latest


def _as_read(read: Any) -> Any:
    """What a tap read, where no plan drops inside the encoder; else `EncoderSites` gives it all its places back."""
    return read


def _first_places(features: Any) -> list[int] | None:
    """Which medium each entry of a list of features is: beams repeat the same tensors, in groups of a row's media."""
    if isinstance(features, torch.Tensor):
        return None
    numbers: dict[int, int] = {}
    return [numbers.setdefault(id(feature), len(numbers)) for feature in features]
