"""The native limit of a plan: the same encoder pass, then a decoder that never saw the dropped tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..common.errors import BadInput
from ..ir.plan import Plan
from .adapters import Adapter, adapter_of
from .handle import apply
from .stepping import Prefill, last_logits


@dataclass(frozen=True)
class Native:
    """What the decoder runs on that never saw the dropped tokens.

    Attributes:
        prefill: encodes the media of a call, then runs the decoder on compressed embeddings.
        mask: (B, L') int64 padding of the compressed sequence, None where the decoder is given none.
    """

    prefill: Prefill
    mask: torch.Tensor | None


def native(model: nn.Module, inputs: Mapping[str, Any], plan: Plan) -> Native:
    """A prefill that encodes the media and then runs the decoder on embeddings that were compressed beforehand.

    The embeddings and their mask are taken from one run of the plan, so that what differs from the plan's prefill is
    the compressor, the scatter and the compaction alone.

    Raises:
        BadInput: the plan compresses inside the decoder, where no shorter input gives the same work, or the media do
            not enter the decoder's own sequence from outside.
    """
    if any(not p.site.endswith("projector.output") for p in plan.placements):
        raise BadInput("the native limit is defined for plans that compress before the decoder")
    config: Any = model.config
    adapter = adapter_of(config)
    if adapter.embeds_inside or not adapter.in_sequence:
        raise BadInput(f"the native limit is not defined for {config.model_type}: its decoder takes no embedded media")
    module = adapter.entrance(model).module
    captured = _decoder_inputs(model, inputs, plan)
    compressed = {"inputs_embeds": captured["inputs_embeds"].clone()}
    mask = captured.get("attention_mask")
    if isinstance(mask, torch.Tensor):
        compressed["attention_mask"] = mask.clone()
    present = list(adapter.media(config, inputs))

    def prefill(moved: Mapping[str, Any]) -> Any:
        _encode(model, adapter, present, moved)
        return module(**compressed, use_cache=True, **last_logits(module))

    return Native(prefill, mask if isinstance(mask, torch.Tensor) and mask.ndim == 2 else None)


class _Encoded(Exception):
    """The decoder was reached."""


def _encode(model: nn.Module, adapter: Adapter, modalities: list[str], moved: Mapping[str, Any]) -> None:
    """Encode the media of a call; models without a method for it are run as far as their decoder."""
    owners = (model, getattr(model, "base_model", model))
    if all(any(hasattr(owner, f"get_{modality}_features") for owner in owners) for modality in modalities):
        for modality in modalities:
            adapter.encode(model, modality, moved)
        return

    def stop(decoder: nn.Module, args: Any) -> None:
        raise _Encoded

    hook = adapter.decoder(model).register_forward_pre_hook(stop)
    try:
        model(**moved)
    except _Encoded:
        pass
    finally:
        hook.remove()


def _decoder_inputs(model: nn.Module, inputs: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    """The arguments with which the decoder runs under the plan."""
    captured: dict[str, Any] = {}

    def capture(decoder: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        captured.update(kwargs)

    with torch.inference_mode(), apply(model, plan):
        hook = adapter_of(model.config).decoder(model).register_forward_pre_hook(capture, with_kwargs=True)
        try:
            model(**inputs, use_cache=False)
        finally:
            hook.remove()
    return captured
