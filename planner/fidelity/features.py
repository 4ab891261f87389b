"""Encoder outputs kept across trials: whatever acts after the encoder need not run it again on the same samples."""

from __future__ import annotations

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
_NOMINAL = Layout.image(8, 8)
"""A grid to ask a pass about: what it reads does not depend on the size."""


class Features:
    """What a model's `get_*_features` returned for each batch of calibration samples.

    Values are measured with them; times never are.

    Args:
        model: a live transformers model. Families whose features come by another way run their encoder each time.
    """

    def __init__(self, model: Any) -> None:
        self.owner: Any = getattr(model, "base_model", model)
        self._kept: dict[tuple[str, object], Any] = {}
        self._batch: object = None
        self._bytes = 0

    @contextmanager
    def reused(self, plan: Plan | None) -> Iterator[None]:
        """Inside, encoders run once for each batch, where `plan` leaves the encoder alone. Apply the plan inside."""
        names = [f"get_{modality}_features" for modality in MODALITIES] if acts_after_encoder(plan) else []
        names = [name for name in names if hasattr(self.owner, name)]
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
            key = (name, self._batch)
            if self._batch is None:
                return features(*args, **kwargs)
            if key not in self._kept:
                self._keep(key, features(*args, **kwargs))
            return self._kept[key] if key in self._kept else features(*args, **kwargs)

        return remembered

    def _keep(self, key: tuple[str, object], output: Any) -> None:
        for unused in ("hidden_states", "attentions"):
            if getattr(output, unused, None) is not None:
                output[unused] = None
        size = sum(tensor.nbytes for tensor in _tensors(output))
        if self._bytes + size <= _MOST_BYTES:
            self._bytes += size
            self._kept[key] = output


def acts_after_encoder(plan: Plan | None) -> bool:
    """Whether `plan` neither compresses before the projector's output nor reads signals of the encoder."""
    placements = () if plan is None else plan.placements
    sites = {Site.parse(placement.site).kind for placement in placements}
    if not sites <= {"projector.output", "decoder.layer", "decoder.cache"}:
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
