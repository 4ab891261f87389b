"""Encoder outputs kept across trials: whatever acts after the encoder need not run it again on the same samples."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ...ir.layout import Layout
from ...ir.plan import Plan
from ...ir.site import MODALITIES, Site
from ...passes import create

if TYPE_CHECKING:
    import torch

_MOST_BYTES = 2 << 30
_BEHIND_PROJECTOR = frozenset({"projector.output", "decoder.layer", "decoder.cache"})
_BEHIND_OUTPUT = frozenset({"encoder.output"})
_NOMINAL = Layout.image(8, 8)
"""A grid to ask a pass about: what it reads does not depend on the size."""


class Features:
    """What a model's `get_*_features` returned for each batch of calibration samples.

    Values are measured with them; times never are.

    Args:
        model: a live transformers model. Of an encoder-decoder the encoder's own output is kept; families whose
            features come by another way run their encoder each time.
    """

    def __init__(self, model: Any) -> None:
        hears = bool(model.config.is_encoder_decoder)
        self.owner: Any = model.get_encoder() if hears else getattr(model, "base_model", model)
        self.names = ("forward",) if hears else tuple(f"get_{modality}_features" for modality in MODALITIES)
        self.behind = _BEHIND_OUTPUT if hears else _BEHIND_PROJECTOR
        self._kept: dict[tuple[object, ...], Any] = {}
        self._batch: object = None
        self._bytes = 0

    @contextmanager
    def reused(self, plan: Plan | None) -> Iterator[None]:
        """Inside, encoders run once for each batch, where `plan` leaves the encoder alone. Apply the plan inside."""
        names = self.names if acts_after_encoder(plan, behind=self.behind) else ()
        names = tuple(name for name in names if hasattr(self.owner, name))
        before = {name: self.owner.__dict__[name] for name in names if name in self.owner.__dict__}
        for name in names:
            setattr(self.owner, name, self._remembering(getattr(self.owner, name), name))
        try:
            yield
        finally:
            for name in names:
                self.owner.__dict__.pop(name, None)
            self.owner.__dict__.update(before)

    @contextmanager
    def of(self, batch: object) -> Iterator[None]:
        """Inside, the model is asked about `batch`, which stands for always the same media."""
        self._batch = batch
        try:
            yield
        finally:
            self._batch = None

    def _remembering(self, features: Callable[..., Any], name: str) -> Callable[..., Any]:
        @functools.wraps(features)
        def remembered(*args: Any, **kwargs: Any) -> Any:
            if self._batch is None:
                return features(*args, **kwargs)
            # `generate` may pad what it hands over, and must not hide that a plain forward refuses it.
            key = (name, self._batch, *(tensor.shape for tensor in _tensors((args, kwargs))))
            if key not in self._kept:
                self._keep(key, features(*args, **kwargs))
            # A copy: hooks put what remains into the output itself.
            return copy.copy(self._kept[key]) if key in self._kept else features(*args, **kwargs)

        return remembered

    def _keep(self, key: tuple[object, ...], output: Any) -> None:
        for unused in ("hidden_states", "attentions"):
            if getattr(output, unused, None) is not None:
                output[unused] = None
        size = sum(tensor.nbytes for tensor in _tensors(output))
        if self._bytes + size <= _MOST_BYTES:
            self._bytes += size
            self._kept[key] = output


def acts_after_encoder(plan: Plan | None, *, behind: frozenset[str] = _BEHIND_PROJECTOR) -> bool:
    """Whether `plan` compresses only at sites of the kinds `behind`, and reads no signals of the encoder."""
    placements = () if plan is None else plan.placements
    sites = {Site.parse(placement.site).kind for placement in placements}
    if not sites <= behind:
        return False
    needs = (need for placement in placements for need in create(placement.method, placement.params).needs(_NOMINAL))
    return all(need.stage != "encoder" for need in needs)


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    import torch

    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)
