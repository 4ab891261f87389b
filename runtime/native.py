"""The native limit of a plan: the same encoder pass, then a decoder that never saw the dropped tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from ..common.errors import BadInput
from ..ir.plan import Plan
from .adapters import adapter_of
from .handle import apply


def native_prefill(model: nn.Module, inputs: Mapping[str, Any], plan: Plan) -> Callable[[Mapping[str, Any]], Any]:
    """A prefill that encodes the media and then runs the decoder on embeddings that were compressed beforehand.

    The embeddings and their mask are taken from one run of the plan, so that what differs from the plan's prefill is
    the compressor, the scatter and the compaction alone.

    Raises:
        BadInput: the plan compresses inside the decoder, where no shorter input gives the same work.
    """
    if any(not p.site.endswith("projector.output") for p in plan.placements):
        raise BadInput("the native limit is defined for plans that compress before the decoder")
    adapter = adapter_of(model.config)
    captured = _decoder_inputs(model, inputs, plan)
    compressed = {"inputs_embeds": captured["inputs_embeds"].clone()}
    if isinstance(captured.get("attention_mask"), torch.Tensor):
        compressed["attention_mask"] = captured["attention_mask"].clone()

    def prefill(moved: Mapping[str, Any]) -> Any:
        for modality in adapter.modalities:
            adapter.encode(model, modality, moved)
        return model(**compressed, use_cache=True, logits_to_keep=1)

    return prefill


def _decoder_inputs(model: nn.Module, inputs: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    """The arguments with which the decoder runs under the plan."""
    captured: dict[str, Any] = {}

    def capture(decoder: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        captured.update(kwargs)

    with torch.inference_mode(), apply(model, plan):
        hook = adapter_of(model.config).decoder(model).register_forward_pre_hook(capture, with_kwargs=True)
        try:
            model(**inputs, use_cache=False, logits_to_keep=1)
        finally:
            hook.remove()
    return captured
