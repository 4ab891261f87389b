"""A prefill and its decoding steps by hand, on decoder-only models and on encoder-decoders that hear."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from .adapters import ADAPTERS, adapter_of

Prefill = Callable[[Mapping[str, Any]], Any]


@dataclass
class Prefilled:
    """After a prefill: the next token (B, 1), the cache, and the `fixed` arguments of every later step."""

    token: torch.Tensor
    cache: Any
    fixed: dict[str, Any]


class Stepper:
    """Runs a decoder-only model: the prompt with its media, then one token at a time.

    Args:
        prefill: what runs the prompt instead of the model's own forward.
    """

    ids = "input_ids"

    def __init__(self, model: nn.Module, prefill: Prefill | None = None) -> None:
        self.model, self._run = model, prefill or self._forward
        known = getattr(model.config, "model_type", None) in ADAPTERS
        # Some models' own forward takes only whole prompts; what it calls takes later tokens.
        self.decoding: nn.Module = adapter_of(model.config).entrance(model).module if known else model

    def prefill(self, inputs: Mapping[str, Any]) -> Prefilled:
        """Run a prompt."""
        output = self._run(inputs)
        inner = getattr(output, "language_model_outputs", None) or output
        return Prefilled(output.logits[:, -1].argmax(-1, keepdim=True), inner.past_key_values, self._fixed(output))

    def step(self, state: Prefilled, mask: torch.Tensor | None) -> None:
        """Run one token, and choose the next; `mask` (B, tokens so far) is None where no row is padded."""
        given = {} if mask is None else {"attention_mask": mask, **self._positions(mask)}
        tokens = {self.ids: state.token}
        output = self.decoding(**tokens, **given, **state.fixed, past_key_values=state.cache, use_cache=True)
        state.token = output.logits[:, -1].argmax(-1, keepdim=True)

    def _positions(self, mask: torch.Tensor) -> dict[str, torch.Tensor]:
        """Models with positions in three rows do not cut those that they count from a mask to the last token."""
        offset = getattr(getattr(self.model, "base_model", self.model), "rope_deltas", None)
        if offset is None:
            return {}
        last = mask.sum(dim=1, keepdim=True) - 1 + offset.to(mask.device)
        return {"position_ids": last.expand(3, -1, -1)}

    def _forward(self, inputs: Mapping[str, Any]) -> Any:
        return self.model(**inputs, use_cache=True, **last_logits(self.model))

    def _fixed(self, output: Any) -> dict[str, Any]:
        return {}


class EncoderDecoderStepper(Stepper):
    """Runs an encoder-decoder: the start token against the encoded media, then one token at a time."""

    ids = "decoder_input_ids"

    def _forward(self, inputs: Mapping[str, Any]) -> Any:
        if inputs.get(self.ids) is not None:
            return self.model(**inputs, use_cache=True)
        rows = next(value for value in inputs.values() if isinstance(value, torch.Tensor))
        config: Any = self.model.config
        start = torch.full((len(rows), 1), int(config.decoder_start_token_id), device=rows.device)
        return self.model(**inputs, **{self.ids: start}, use_cache=True)

    def _fixed(self, output: Any) -> dict[str, Any]:
        return {"encoder_outputs": (output.encoder_last_hidden_state,)}


def stepper(model: nn.Module, prefill: Prefill | None = None) -> Stepper:
    """The stepper of a model."""
    config: Any = model.config
    kind = EncoderDecoderStepper if config.is_encoder_decoder else Stepper
    return kind(model, prefill)


def last_logits(module: nn.Module) -> dict[str, int]:
    """The argument that asks a model for the logits of its last position alone, where it takes one."""
    return {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(module.forward).parameters else {}


def cache_bytes(cache: Any) -> int:
    """Bytes of keys and values that a cache holds, those of cross-attention included."""
    parts = [getattr(cache, name) for name in ("self_attention_cache", "cross_attention_cache") if hasattr(cache, name)]
    layers = [layer for part in parts or [cache] for layer in part.layers if layer.is_initialized]
    return sum(t.numel() * t.element_size() for layer in layers for t in (layer.keys, layer.values))
