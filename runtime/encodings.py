"""What was encoded: the media of each encoder run, found again by its output. `generate` encodes before the forward."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.utils.weak import WeakTensorKeyDictionary

from ..common.errors import BadInput
from .adapters import Adapter, Medium


class Encodings:
    """Remembers which media each `get_*_features` run encoded, as long as its output lives.

    `generate` hands the model precomputed outputs without the grids and sizes that they were made from.
    """

    def __init__(self, model: nn.Module, adapter: Adapter) -> None:
        self.adapter, self.config = adapter, model.config
        self.owner: Any = getattr(model, "base_model", model)
        self._media: Any = WeakTensorKeyDictionary()
        self._wrapped: list[str] = []
        self._local = threading.local()
        for modality in {"image", "video"} & set(adapter.modalities):  # `generate` encodes no sounds
            name = f"get_{modality}_features"
            if hasattr(self.owner, name):
                setattr(self.owner, name, self._recording(getattr(self.owner, name), modality))
                self._wrapped.append(name)

    @property
    def encoding(self) -> str | None:
        """The modality whose features this thread is computing; None where no `get_*_features` runs."""
        return getattr(self._local, "modality", None)

    def remove(self) -> None:
        """Give the model its own methods back."""
        for name in self._wrapped:
            self.owner.__dict__.pop(name, None)
        self._wrapped.clear()

    def media(self, arguments: Mapping[str, Any]) -> dict[str, list[Medium]]:
        """The media of one forward call, in order, per modality.

        Raises:
            BadInput: encoder outputs of an unknown run, without the arguments that say what they are.
        """
        outputs = {m: o for m, o in (arguments.get("mm_encoder_outputs") or {}).items() if o is not None}
        known = {modality: self._recorded(output) for modality, output in outputs.items()}
        if outputs and all(media is not None for media in known.values()):
            beside = self.adapter.media(self.config, {**arguments, "mm_encoder_outputs": None})
            found = {**beside, **{modality: media for modality, media in known.items() if media is not None}}
            return {modality: found[modality] for modality in self.adapter.modalities if modality in found}
        try:
            return self.adapter.media(self.config, arguments)
        except KeyError as missing:
            raise BadInput(
                f"the encoder outputs were computed before the plan was applied: pass {missing} beside them, or "
                "compute them again while the plan is applied"
            ) from missing

    def _recorded(self, output: Any) -> list[Medium] | None:
        hidden = getattr(output, "last_hidden_state", None)
        found = None if hidden is None else self._media.get(hidden)
        if found is None or found[0] is None:
            return None
        media, entries = found
        return _repeated(media, output, times=_entries(output) // entries)

    def _recording(self, features: Any, modality: str) -> Any:
        signature = inspect.signature(features)

        @functools.wraps(features)
        def recorded(*args: Any, **kwargs: Any) -> Any:
            outer, self._local.modality = self.encoding, self.encoding or modality
            try:
                output = features(*args, **kwargs)
            finally:
                self._local.modality = outer
            hidden = getattr(output, "last_hidden_state", None)
            if hidden is not None:
                bound = signature.bind_partial(*args, **kwargs).arguments
                arguments = {**bound.pop("kwargs", {}), **bound}
                media = self.adapter.media(self.config, arguments).get(modality)
                self._media[hidden] = media, _entries(output)
            return output

        return recorded


def _entries(output: Any) -> int:
    """Entries of an output's features along their first dimension; 1 where it has none."""
    features = getattr(output, "pooler_output", None)
    return 1 if features is None else len(features)


def _repeated(media: list[Medium], output: Any, *, times: int) -> list[Medium]:
    """The media of an output whose entries beams have repeated `times`, in groups of one prompt's media."""
    if times == 1:
        return media
    if isinstance(output.pooler_output, torch.Tensor):
        return media * times  # media whose features stack into one tensor are all alike
    numbers: dict[int, int] = {}
    return [media[numbers.setdefault(id(feature), len(numbers))] for feature in output.pooler_output]
