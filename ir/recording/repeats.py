"""Layers that repeat: each distinct one runs once, and the rest take its result."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from .events import Event
from .recorder import Call, Recorder

_SMALL = 4096
_INCIDENTAL = {"layer_idx", "layer_id", "layer_index", "idx", "layer_number", "training", "layer_name", "name"}


class Instruments:
    """A model on the meta device whose modules report to the recorder in force, repeated layers once.

    The model's forwards are replaced for good, so it must be the tracer's own copy.

    Attributes:
        recorder: whom modules report to; None runs them as they are.
        events: what each layer that ran recorded, by the id of its call, which `memo` keeps alive.
    """

    def __init__(self, model: nn.Module) -> None:
        self.recorder: Recorder | None = None
        self.events: dict[int, list[Event]] = {}
        self.memo: dict[Hashable, Call] = {}
        self.kept: list[Any] = []
        self.layers = repeated_layers(model)
        for name, module in model.named_modules():
            original = module.forward
            module.forward = functools.wraps(original)(self._reporting(name, module, original))

    def _reporting(self, name: str, module: nn.Module, original: Callable[..., Any]) -> Callable[..., Any]:
        layer = self.layers.get(name)

        def forward(*args: Any, **kwargs: Any) -> Any:
            recorder = self.recorder
            if recorder is None:
                return original(*args, **kwargs)
            if layer is None or recorder.inside_layer:
                return recorder.run(name, module, original, args, kwargs)
            return self._run_layer(layer, name, module, original, args, kwargs)

        return forward

    def _run_layer(
        self, layer: Hashable, name: str, module: nn.Module, original: Any, args: tuple[Any, ...], kwargs: Any
    ) -> Any:
        """Run a layer, or take the result of an equal one that ran on equal arguments."""
        recorder = self.recorder
        assert recorder is not None
        key = (layer, self._key(args), self._key(kwargs))
        known = self.memo.get(key)
        if known is None:
            recorder.inside_layer = True
            try:
                output = recorder.run(name, module, original, args, kwargs)
            finally:
                recorder.inside_layer = False
            self.memo[key] = call = recorder.recording.calls[-1]
            self.events[id(call)] = recorder.recording.events[call.start : call.end]
            return output
        start, inner = len(recorder.recording.events), len(recorder.recording.calls)
        recorder.recording.events += [
            replace(event, path=name + event.path.removeprefix(known.path)) for event in self.events[id(known)]
        ]
        end = len(recorder.recording.events)
        recorder.recording.calls.append(Call(name, module, args, kwargs, known.output, start, end, inner, known))
        return known.output

    def _key(self, value: Any) -> Hashable:
        """What of an argument decides the shapes of a layer's work."""
        if isinstance(value, torch.Tensor):
            shape = (tuple(value.shape), value.dtype, value.is_meta)
            if value.is_meta:
                return shape
            if value.numel() <= _SMALL:
                return (*shape, value.numpy().tobytes() if value.dtype != torch.bfloat16 else None)
            if value.dtype in (torch.int64, torch.int32):  # picked positions: how many, not which, decides the work
                return shape
            self.kept.append(value)
            return (*shape, id(value))
        if isinstance(value, dict):
            return tuple((k, self._key(v)) for k, v in sorted(value.items()) if k not in _INCIDENTAL)
        if isinstance(value, (list, tuple)):
            return tuple(self._key(v) for v in value)
        return value if isinstance(value, (int, float, str, bool, type(None))) else type(value).__name__


_STACKS = ("layers", "blocks", "layer")
"""Names under which a list of one member is a stack too."""


def repeated_layers(model: nn.Module) -> dict[str, Hashable]:
    """Members of the outermost module lists by dotted name, with what makes two of them equal."""
    found: dict[str, Hashable] = {}
    outer: list[str] = []
    for name, module in model.named_modules():
        stack = isinstance(module, nn.ModuleList) and (len(module) > 1 or name.rpartition(".")[2] in _STACKS)
        if stack and not name.startswith(tuple(outer)):
            outer.append(f"{name}.")
            found |= {f"{name}.{i}": signature(member) for i, member in module.named_children()}
    return found


def signature(module: nn.Module) -> Hashable:
    """Classes, plain attributes and parameter shapes of a module and everything in it, numbers of layers left out."""
    return tuple((name, *_own(child)) for name, child in module.named_modules())


def _own(module: nn.Module) -> tuple[Any, ...]:
    plain = tuple(
        (key, value)
        for key, value in vars(module).items()
        if isinstance(value, (int, float, str, bool)) and key not in _INCIDENTAL
    )
    shapes = tuple((key, tuple(p.shape)) for key, p in module._parameters.items() if p is not None)
    return type(module), plain, shapes
