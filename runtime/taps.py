"""Taps: thin slices of attention read from one module, while the model keeps its own attention implementation."""

from __future__ import annotations

import copy
import sys
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from ..common.errors import BadInput
from ..kernels.attention_row import attention_row

_PREFIX = "foveate_tap_"


@dataclass
class Tap:
    """Reads one attention row of one module each time that it runs while `armed`.

    `query` is the position of the query row: an integer, or a (B,) int64 tensor set before each run. `row` holds what
    was read, (B, keys) float32, until it is taken.
    """

    reference: weakref.ref[nn.Module]
    query: int | torch.Tensor = 0
    armed: bool = True
    row: torch.Tensor | None = None
    original: Any = field(default=None, repr=False)

    def read(self, query: torch.Tensor, key: torch.Tensor, mask: Any, scale: float) -> None:
        """Compute the row from the q and k of one attention call, q (B, H, Q, D), k (B, G, N, D)."""
        if not self.armed:
            return
        at = self.query
        if isinstance(at, int):
            one, seen = query[:, :, at], _mask_row(mask, key, lambda m: m[:, :, at])
        else:
            rows = torch.arange(query.shape[0], device=query.device)
            one, seen = query[rows, :, at], _mask_row(mask, key, lambda m: m.expand(len(rows), -1, -1, -1)[rows, :, at])
        self.row = attention_row(one, key, scale=scale, mask=seen)

    @property
    def module(self) -> nn.Module | None:
        """The tapped module, None once it is gone: a tap must not keep its model alive."""
        return self.reference()

    def take(self) -> torch.Tensor:
        """The row that was read, (B, keys) float32; the tap is empty afterwards.

        Raises:
            BadInput: the module ran past transformers' attention interface, or did not run.
        """
        row, self.row = self.row, None
        if row is None:
            raise BadInput(f"{type(self.module).__name__} did not go through transformers' attention interface")
        return row


_TAPS: weakref.WeakKeyDictionary[nn.Module, list[Tap]] = weakref.WeakKeyDictionary()


def install(module: nn.Module, query: int | torch.Tensor = 0) -> Tap:
    """Tap an attention module: it alone gets a copy of its config that names our wrapper of its implementation.

    Raises:
        BadInput: the module has no config through which its attention could be dispatched.
    """
    config: Any = getattr(module, "config", None)
    base = getattr(config, "_attn_implementation", None)
    if base is None:
        raise BadInput(
            f"{type(module).__name__} does not dispatch its attention by its config; its rows cannot be read"
        )
    taps = _TAPS.setdefault(module, [])
    if not taps:
        tapped = copy.copy(config)
        tapped._attn_implementation_internal = _wrapper_name(base)
        module.config = tapped
    tap = Tap(weakref.ref(module), query, original=config if not taps else taps[0].original)
    taps.append(tap)
    return tap


def remove(tap: Tap) -> None:
    """Take a tap off; with the last one the module has its own config back."""
    module = tap.module
    if module is None or module not in _TAPS:
        return
    _TAPS[module] = [other for other in _TAPS[module] if other is not tap]
    if not _TAPS[module]:
        module.config = tap.original
        del _TAPS[module]


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
        module: nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: Any, **kwargs: Any
    ) -> Any:
        taps = _TAPS.get(module, [])
        scale = kwargs.get("scaling") or query.shape[-1] ** -0.5
        for tap in taps:
            tap.read(query, key, mask, scale)
        tapped, module.config = module.config, taps[0].original
        try:
            return _base_function(base, module)(module, query, key, value, mask, **kwargs)
        finally:
            module.config = tapped

    return tapped_attention


def _base_function(base: str, module: nn.Module) -> Callable[..., Any]:
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    eager: Any = getattr(sys.modules[type(module).__module__], "eager_attention_forward", None)
    found: Callable[..., Any] = ALL_ATTENTION_FUNCTIONS.get_interface(base, eager)
    return found


def _mask_row(
    mask: torch.Tensor | None, key: torch.Tensor, select: Callable[[torch.Tensor], torch.Tensor]
) -> torch.Tensor | None:
    """The query's row of a mask: 4-d (query rows), 2-d (padding alone), or None."""
    if mask is None:
        return None
    if mask.ndim == 2:
        return mask[:, None, : key.shape[2]].bool()
    return select(mask)[..., : key.shape[2]]
