"""Readers beside attention taps: what enters the decoder, its final norm, and a layer's q and k before it runs.

Each has what the owner of taps uses: `armed`, `query`, `row`, and `remove`.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from ...common.errors import BadInput
from .attention_call import AttentionCall
from .taps import attention_call

_PREVIEW = "foveate_preview"
_FINAL_NORMS = ("norm", "final_layernorm", "final_layer_norm")


@dataclass(frozen=True)
class Prompt:
    """What entered the decoder: `embeds` (B, L, D), and `present` (B, L) bool, False at padding; None is no padding."""

    embeds: torch.Tensor
    present: torch.Tensor | None


@dataclass
class Reader:
    """Something that is read while `armed`: `row` holds it, `query` is the place of a query that the owner sets."""

    handle: Any
    query: int | torch.Tensor = 0
    armed: bool = True
    row: Any = None

    def remove(self) -> None:
        """Take it off the model."""
        self.handle.remove()

    def clear(self) -> None:
        """Forget what an earlier run left behind."""
        self.row = None

    def take(self) -> Any:
        """What was read.

        Raises:
            BadInput: nothing was, since the model did not run that way.
        """
        if self.row is None:
            raise BadInput("a signal was asked for that the model's forward did not pass by; remove the plan")
        return self.row


def prompt_reader(decoder: nn.Module) -> Reader:
    """Reads the embeddings and the padding that a decoder is called with, before any pass has acted."""
    reader = Reader(None)

    def before_decoder(module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        if reader.armed and kwargs.get("inputs_embeds") is not None:
            embeds = kwargs["inputs_embeds"]
            reader.row = Prompt(embeds, _present(kwargs.get("attention_mask"), embeds))

    reader.handle = decoder.register_forward_pre_hook(before_decoder, with_kwargs=True)
    return reader


def _present(mask: Any, embeds: torch.Tensor) -> torch.Tensor | None:
    """Which tokens are no padding, from a mask in any form that a decoder is given; in 4-d ones they see themselves."""
    mask = next(iter(mask.values())) if isinstance(mask, dict) else mask
    if not isinstance(mask, torch.Tensor):
        return None
    if mask.ndim == 2:
        return mask[:, -embeds.shape[1] :].bool()
    empty = embeds.new_empty(embeds.shape[0], 1, embeds.shape[1], 1)
    keys = embeds.new_empty(embeds.shape[0], 1, mask.shape[-1], 1)
    return AttentionCall(empty, keys, mask, 1.0, True).valid()[:, -embeds.shape[1] :]


@dataclass
class NormReader(Reader):
    """Applies a decoder's final norm; it keeps no model alive."""

    norm: weakref.ref[nn.Module] | None = None

    def remove(self) -> None:
        """Nothing was put on the model."""

    def states(self, hidden: torch.Tensor) -> torch.Tensor:
        """`hidden` after the final norm."""
        module = None if self.norm is None else self.norm()
        return hidden if module is None else module(hidden)


def norm_reader(decoder: nn.Module) -> NormReader:
    """Reads hidden states as the decoder's final norm scales them.

    Raises:
        BadInput: the decoder has no final norm under a known name.
    """
    norm = next((getattr(decoder, name) for name in _FINAL_NORMS if hasattr(decoder, name)), None)
    if norm is None:
        raise BadInput(f"{type(decoder).__name__} has no final norm, and a pass of the plan compares normed states")
    return NormReader(None, norm=weakref.ref(norm))


class _Seen(Exception):
    """Carries the q and k of a previewed attention call out of its module."""

    def __init__(self, call: AttentionCall) -> None:
        self.call = call


@dataclass
class PreviewReader(Reader):
    """Computes a layer's queries and keys before it runs, with the arguments that the layer before was called with."""

    layer: weakref.ref[nn.Module] | None = None
    attention: weakref.ref[nn.Module] | None = None
    rotary: bool = True
    arguments: dict[str, Any] = field(default_factory=dict)

    def preview(self, hidden: torch.Tensor) -> AttentionCall:
        """The attention call that the layer will make on `hidden` (B, P, D); the first one of a run is kept."""
        if self.row is None:
            self.row = self._previewed(hidden)
            self.arguments = {}
        return self.row  # type: ignore[no-any-return]

    def _previewed(self, hidden: torch.Tensor) -> AttentionCall:
        layer = None if self.layer is None else self.layer()
        attention = None if self.attention is None else self.attention()
        if layer is None or attention is None or not self.arguments:
            raise BadInput("the layer before the site did not run; its arguments are needed to look ahead")
        kwargs = self.arguments | {"past_key_values": None, "use_cache": False}
        if not self.rotary:
            cos, sin = kwargs["position_embeddings"]
            kwargs["position_embeddings"] = (torch.ones_like(cos), torch.zeros_like(sin))
        call = _intercepted(attention, layer.input_layernorm(hidden), kwargs)  # type: ignore[operator]
        return _with_past(call, self.arguments.get("past_key_values"), getattr(attention, "layer_idx", None))


def preview_reader(
    layers: nn.ModuleList, number: int, attentions: Callable[[nn.Module], nn.Module], *, rotary: bool
) -> PreviewReader:
    """Reads the q and k of layer `number`, 1 or later; `attentions` finds a layer's attention module.

    Raises:
        BadInput: the layer cannot be looked into ahead of its run.
    """
    layer, attention, before = layers[number], attentions(layers[number]), attentions(layers[number - 1])
    windows = {getattr(module, "sliding_window", None) for module in (attention, before)}
    if not hasattr(layer, "input_layernorm") or len(windows) > 1:
        raise BadInput(
            f"the attention of decoder layer {number} cannot be computed in advance: its layer has another window than "
            "the one before, or no input_layernorm; choose another layer"
        )
    reader = PreviewReader(None, layer=weakref.ref(layer), attention=weakref.ref(attention), rotary=rotary)

    def before_attention(module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        if reader.armed:
            reader.arguments = {name: value for name, value in kwargs.items() if name != "hidden_states"}

    reader.handle = before.register_forward_pre_hook(before_attention, with_kwargs=True)
    return reader


def _intercepted(attention: nn.Module, normed: torch.Tensor, kwargs: dict[str, Any]) -> AttentionCall:
    """The attention call that a module would make, which is not carried out."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    def seen(
        module: nn.Module, query: torch.Tensor, key: torch.Tensor, value: Any, attention_mask: Any = None, **more: Any
    ) -> Any:
        raise _Seen(attention_call(module, query, key, attention_mask, more))

    ALL_ATTENTION_FUNCTIONS.register(_PREVIEW, seen)
    config: Any = attention.config
    previewed = copy.copy(config)
    previewed._attn_implementation_internal = _PREVIEW
    attention.config = previewed
    try:
        attention.forward(normed, **kwargs)
    except _Seen as found:
        return found.call
    finally:
        attention.config = config
    raise BadInput(f"{type(attention).__name__} did not go through transformers' attention interface")


def _with_past(call: AttentionCall, cache: Any, number: int | None) -> AttentionCall:
    """The call with the keys that the layer has cached from earlier turns; its mask covers as many."""
    layers = getattr(cache, "layers", [])
    keys = getattr(layers[number], "keys", None) if number is not None and number < len(layers) else None
    if keys is not None and keys.numel():
        return AttentionCall(call.query, torch.cat([keys, call.key], dim=2), call.mask, call.scale, call.causal)
    mask = call.mask if call.mask is None else call.mask[..., -call.key.shape[2] :]
    return AttentionCall(call.query, call.key, mask, call.scale, call.causal)
