"""Attention rows of the encoder, kept with the encoder's output: `generate` runs the encoder before the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.utils.weak import WeakTensorKeyDictionary

from ..common.errors import BadInput
from ..ir.signal import Need
from .readers import Reader
from .taps import Tap


class EncoderRows:
    """Remembers which rows were read while the encoder produced which output.

    `generate`, and a caller who reuses encoder outputs, hand the model precomputed outputs: the rows of exactly that
    run are found by its last hidden state. Rows are forgotten with the output that they belong to.
    """

    def __init__(self, taps: Mapping[Need, Tap | Reader]) -> None:
        self.taps = taps
        self._by_output: Any = WeakTensorKeyDictionary()
        self._latest: dict[Need, torch.Tensor] = {}

    def after_encoder(self, encoder: nn.Module, args: Any, output: Any) -> None:
        """Forward hook of the encoder: take what the taps have read."""
        self._latest = {need: tap.take() for need, tap in self.taps.items()}
        hidden = getattr(output, "last_hidden_state", None)
        if hidden is not None:
            self._by_output[hidden] = self._latest

    def rows(self, precomputed: Any, media: int) -> dict[Need, torch.Tensor]:
        """The rows for a prefill with `media` media: of its own encoder run, or of the run that made `precomputed`.

        Raises:
            BadInput: the outputs were computed before the plan was applied, so no row was read.
        """
        if not self.taps:
            return {}
        if precomputed is None:
            found, order = self._latest, None
        else:
            found = self._by_output.get(getattr(precomputed, "last_hidden_state", None)) or {}
            order = _first_places(precomputed.pooler_output)
        rows = {need: row if order is None else row[order] for need, row in found.items()}
        if not rows or any(row.shape[0] != media for row in rows.values()):
            raise BadInput(
                "the encoder outputs were computed before the plan was applied, and the plan reads the encoder's "
                "attention; compute them again while the plan is applied"
            )
        return rows


def _first_places(features: Any) -> list[int] | None:
    """Which medium each entry of a list of features is: beams repeat the same tensors, in groups of a row's media."""
    if isinstance(features, torch.Tensor):
        return None
    numbers: dict[int, int] = {}
    return [numbers.setdefault(id(feature), len(numbers)) for feature in features]
