"""The parts of a live encoder layer: its second norm and MLP, and its arguments for the tokens that remain."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from ...common.errors import BadInput
from ..index_maps import gather_mask, gather_sequence
from .stream import EncoderStream, Step

_HALVES = (
    ("layer_norm2", "mlp"),
    ("norm2", "mlp"),
    ("layernorm_after", "mlp"),
    ("ffn_norm", "feed_forward"),
    ("final_layer_norm", "fc2"),
    ("post_attention_layernorm", "mlp"),
)
"""Names of the norm before the MLP and of the module that ends it, in layers that add both halves to their input."""


def second_half(layer: nn.Module) -> tuple[nn.Module, nn.Module]:
    """The norm before a layer's MLP, and the last module of the MLP.

    Raises:
        BadInput: the layer names them otherwise.
    """
    for norm, mlp in _HALVES:
        if hasattr(layer, norm) and hasattr(layer, mlp):
            return getattr(layer, norm), getattr(layer, mlp)
    raise BadInput(f"{type(layer).__name__} has no second norm and MLP under a known name, so no .mid site")


def as_rows(states: torch.Tensor) -> torch.Tensor:
    """(R, P, D) of states that a packed encoder holds as (P, D)."""
    return states[None] if states.ndim == 2 else states


def alike(rows: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
    """`rows` (R, P, D) in the form of `states`."""
    return rows[0] if states.ndim == 2 else rows


@dataclass
class LayerArguments:
    """Rewrites the arguments of encoder layers for the tokens that remain; each value once for each step."""

    stream: EncoderStream
    _memo: dict[int, tuple[Any, Any]] = field(default_factory=dict)
    _of: Any = None

    def rewritten(self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """(args, kwargs) for the tokens that remain; the states, which come first, are as they should be."""
        current = self.stream.current
        if current is None:
            return args, kwargs
        if self._of is not current:
            self._memo, self._of = {}, current
        names = list(inspect.signature(layer.forward).parameters)
        changed = tuple(self._value(names[i] if i < len(names) else "", value) for i, value in enumerate(args))
        return changed, {name: self._value(name, value) for name, value in kwargs.items()}

    def _value(self, name: str, value: Any) -> Any:
        rewrites: dict[str, Callable[[Any], Any]] = {
            "attention_mask": self._mask,
            "position_embeddings": self._rotary,
            "cu_seqlens": self._boundaries,
        }
        rewrite = rewrites.get(name)
        if rewrite is None or value is None:
            return value
        if id(value) not in self._memo:
            self._memo[id(value)] = value, rewrite(value)
        return self._memo[id(value)][1]

    def _mask(self, mask: torch.Tensor) -> torch.Tensor | None:
        return gather_mask(mask, self._of, self._of)

    def _rotary(self, embeddings: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        """Cosines and sines (L, width) of a packed run, or (1, L, width)."""
        return tuple(
            part[self._of[0]] if part.ndim == 2 else gather_sequence(part, self._of, dim=-2) for part in embeddings
        )

    def _boundaries(self, starts: torch.Tensor) -> torch.Tensor:
        """Cumulative lengths of sequences or windows in tokens that remain; empty ones, which attention refuses, go."""
        kept = torch.zeros(self.stream.length + 1, dtype=starts.dtype, device=starts.device)
        kept[1:].index_fill_(0, self._of[0], 1)
        ends = kept.cumsum(0, dtype=starts.dtype)[starts.long()]
        return torch.cat((ends[:1], ends[1:][ends[1:] > ends[:-1]]))


class MidLayer:
    """Hooks by which a layer's MLP runs on what a site between attention and MLP left.

    The layer adds the MLP's output to the states that entered its second norm. The norm is handed what remains; the
    MLP's output is spread over all places, so that the layer can add; then the layer's output is gathered, and what
    merging added to the representatives is added to them. So out = x + f(MLP(norm(x))) for the merged x, whatever
    scaling f the layer applies.
    """

    def __init__(self, layer: nn.Module, run: Callable[[torch.Tensor], Step | None]) -> None:
        self.layer, self.run = layer, run
        self._local = threading.local()
        self.norm, self.mlp = second_half(layer)

    def hook(self) -> list[Any]:
        """Register the hooks; the layer's own comes first, before those that record its output."""
        return [
            self.norm.register_forward_pre_hook(self._enter),
            self.mlp.register_forward_hook(self._spread),
            self.layer.register_forward_hook(self._leave, prepend=True),
        ]

    def _enter(self, norm: nn.Module, args: tuple[Any, ...]) -> Any:
        self._local.step = step = self.run(as_rows(args[0]))
        return None if step is None else (alike(step.states, args[0]), *args[1:])

    def _spread(self, mlp: nn.Module, args: Any, output: torch.Tensor) -> torch.Tensor | None:
        step: Step | None = self._local.step
        if step is None:
            return None
        rows = as_rows(output)
        full = rows.new_zeros(rows.shape[0], step.before, rows.shape[2])
        return alike(full.scatter(1, step.index[..., None].expand_as(rows), rows), output)

    def _leave(self, layer: nn.Module, args: Any, output: Any) -> Any:
        step, self._local.step = self._local.step, None
        if step is None:
            return None
        states = output[0] if isinstance(output, tuple) else output
        rows = gather_sequence(as_rows(states), step.index)
        rows = alike(rows if step.added is None else rows + step.added, states)
        return (rows, *output[1:]) if isinstance(output, tuple) else rows
