"""Taps: what one attention module computes with, read while the model keeps its own attention implementation."""

from __future__ import annotations

import copy
import sys
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import torch
from torch import nn

from ...common.errors import BadInput
from ..encoder.packing import segments
from .attention_call import AttentionCall

_PREFIX = "foveate_tap_"


class Removable(Protocol):
    """A reader of another kind that takes itself off."""

    def remove(self) -> None:
        """Take it off."""


def one_row(call: AttentionCall, query: int | torch.Tensor) -> torch.Tensor:
    """The attention row of one query of each sequence, (B, keys) float32."""
    return call.row(query)


def whole_call(call: AttentionCall, query: int | torch.Tensor) -> AttentionCall:
    """The call itself, for signals that are made of it once the tokens' places are known."""
    return call


@dataclass
class Tap:
    """Reads one module's attention calls while `armed`.

    `query` is the position of a query: an integer, or a (B,) int64 tensor set before each run. `reads` makes of a call
    and of `query` what the tap keeps; `row` holds that until it is taken. `amends(function, module, query, key, value,
    mask, **kwargs)` stands before the attention function, which it calls with what it makes of the arguments.
    """

    reference: weakref.ref[nn.Module]
    query: int | torch.Tensor = 0
    reads: Callable[[AttentionCall, Any], Any] = one_row
    armed: bool = True
    row: Any = None
    original: Any = field(default=None, repr=False)
    amends: Callable[..., Any] | None = None

    def read(self, call: AttentionCall) -> None:
        """Keep what is wanted of one attention call."""
        if self.armed:
            self.row = self.reads(call, self.query)

    def clear(self) -> None:
        """Forget what an earlier run left behind."""
        self.row = None

    @property
    def module(self) -> nn.Module | None:
        """The tapped module, None once it is gone: a tap must not keep its model alive."""
        return self.reference()

    def take(self) -> Any:
        """What was read; the tap is empty afterwards.

        Raises:
            BadInput: the module ran past transformers' attention interface, or did not run.
        """
        row, self.row = self.row, None
        if row is None:
            raise BadInput(f"{type(self.module).__name__} did not go through transformers' attention interface")
        return row


class SegmentTap(Tap):
    """A tap of a packed encoder, whose attention runs once for each segment: `row` lists what was read of each."""

    def read(self, call: AttentionCall) -> None:
        """Keep what is wanted of one segment, beside the earlier ones."""
        if self.armed:
            self.row = [*(self.row or []), self.reads(call, self.query)]


_TAPS: weakref.WeakKeyDictionary[nn.Module, list[Tap]] = weakref.WeakKeyDictionary()


def install(
    module: nn.Module,
    query: int | torch.Tensor = 0,
    *,
    reads: Callable[[AttentionCall, Any], Any] = one_row,
    kind: type[Tap] = Tap,
    amends: Callable[..., Any] | None = None,
) -> Tap:
    """Tap an attention module: it alone gets a copy of its config that names our wrapper of its implementation.

    Raises:
        BadInput: the module has no config through which its attention could be dispatched.
    """
    config: Any = getattr(module, "config", None)
    base = getattr(config, "_attn_implementation", None)
    if base is None:
        raise BadInput(f"{type(module).__name__} does not dispatch its attention by its config; it cannot be read")
    taps = _TAPS.setdefault(module, [])
    if not taps:
        tapped = copy.copy(config)
        tapped._attn_implementation_internal = _wrapper_name(base)
        module.config = tapped
    tap = kind(weakref.ref(module), query, reads, original=config if not taps else taps[0].original)
    tap.amends, tap.armed = amends, amends is None
    taps.append(tap)
    return tap


def remove(tap: Tap | Removable) -> None:
    """Take a tap off, or a reader; with the last tap the module has its own config back."""
    if not isinstance(tap, Tap):
        tap.remove()
        return
    module = tap.module
    if module is None or module not in _TAPS:
        return
    _TAPS[module] = [other for other in _TAPS[module] if other is not tap]
    if not _TAPS[module]:
        module.config = tap.original
        del _TAPS[module]


def attention_call(
    module: nn.Module, query: torch.Tensor, key: torch.Tensor, mask: Any, kwargs: dict[str, Any]
) -> AttentionCall:
    """The arguments of an attention function as one object."""
    scale = kwargs.get("scaling") or query.shape[-1] ** -0.5
    causal = kwargs.get("is_causal")
    causal = getattr(module, "is_causal", False) if causal is None else causal
    return AttentionCall(query, key, mask, scale, bool(causal))


def _wrapper_name(base: str) -> str:
    """Register (once) and name the wrapper of an attention implementation; the name contains the base's."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    name = _PREFIX + base
    if name not in ALL_ATTENTION_FUNCTIONS:
        ALL_ATTENTION_FUNCTIONS.register(name, _wrapper(base))
    return name


def _wrapper(base: str) -> Callable[..., Any]:
    """An attention function that feeds the taps and then calls the base under the module's own config."""

    def tapped_attention(
        module: nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: Any = None,
        **kwargs: Any,
    ) -> Any:
        taps = _TAPS.get(module, [])
        call = attention_call(module, query, key, attention_mask, kwargs)
        for part in segments(call, kwargs.get("cu_seq_lens_q")):
            for tap in taps:
                tap.read(part)
        tapped, module.config = module.config, taps[0].original
        try:
            function = _base_function(base, module)
            for tap in taps:
                if tap.amends is not None:
                    function = partial(tap.amends, function)
            return function(module, query, key, value, attention_mask, **kwargs)
        finally:
            module.config = tapped

    return tapped_attention


def _base_function(base: str, module: nn.Module) -> Callable[..., Any]:
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    eager: Any = getattr(sys.modules[type(module).__module__], "eager_attention_forward", None)
    found: Callable[..., Any] = ALL_ATTENTION_FUNCTIONS.get_interface(base, eager)
    return found
