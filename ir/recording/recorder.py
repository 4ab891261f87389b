"""A shape run that writes down every operation, with the module that ran it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from .events import AttentionShape, Event, Shape, convolution_shape, matmul_shape
from .shapes import RealData, ShapeMode, run_op, tensors_in

_FREE = {
    *("detach", "empty", "empty_like", "new_empty", "new_empty_strided", "_unsafe_view", "lift_fresh", "alias"),
    *("_local_scalar_dense", "equal", "empty_strided", "is_same_size", "lift_fresh_copy", "dropout"),
}


@dataclass(frozen=True)
class Call:
    """One run of a module: what it was given, what it gave, which events are its own and its children's.

    `inner` is the place in the recording of the first call inside it; the calls from there up to it ran inside it.
    `equal` is the call of an equal layer whose result it took, where it did not run itself.
    """

    path: str
    module: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Any
    start: int
    end: int
    inner: int
    equal: Call | None = None

    @property
    def source(self) -> Call:
        """The call that ran in its place: itself, or that of the equal layer."""
        return self.equal or self


@dataclass
class Recording:
    """Events and module calls in order; a call stands after the calls inside it."""

    events: list[Event] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)


class Recorder(ShapeMode):  # type: ignore[no-untyped-call]
    """Runs shapes and records them."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.recording = Recording()
        self.stack: list[tuple[str, nn.Module]] = []
        self.inside_layer = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operation and note it where it does work on activations."""
        kwargs = kwargs or {}
        result = run_op(func, args, kwargs)
        name = func._schema.name.removeprefix("aten::")
        if func.is_view or name in _FREE:
            _inherit_weight(args, result)
            return result
        inputs = list(tensors_in(args)) + list(tensors_in(kwargs))
        outputs = list(tensors_in(result))
        if any(t.is_meta for t in inputs) or any(t.is_meta for t in outputs):
            self._note(name, args, inputs, outputs)
        return result

    def _note(self, name: str, args: Any, inputs: list[torch.Tensor], outputs: list[torch.Tensor]) -> None:
        weights = sum(elements(t) for t in inputs if is_weight(t))
        read = sum(elements(t) for t in inputs if not is_weight(t))
        written = sum(elements(t) for t in outputs)
        if name in ("embedding", "index_select"):  # reads the rows that it writes, not the whole table
            read, weights = written, 0
        shapes = [tuple(t.shape) for t in inputs]
        flops = inner = outer = 0
        operands: tuple[Shape, ...] = ()
        if name in ("mm", "addmm", "bmm", "baddbmm") or "grouped_mm" in name:
            operands = tuple(shapes[1:3] if name in ("addmm", "baddbmm") else shapes[:2])
            flops, inner, outer = matmul_shape(operands[0], operands[1])
        elif name == "convolution":
            flops, inner, outer = convolution_shape(shapes[0], shapes[1], tuple(outputs[0].shape), args[6])
        self._append(name, read, written, weights=weights, flops=flops, inner=inner, outer=outer, operands=operands)

    def _append(self, name: str, read: int, written: int, **rest: Any) -> None:
        path, module = self.stack[-1] if self.stack else ("", None)
        owner = type(module).__name__ if module is not None else ""
        window = getattr(module, "sliding_window", None)
        rest |= {"causal": bool(getattr(module, "is_causal", False)), "window": window if _positive(window) else None}
        self.recording.events.append(Event(path, owner, name, read, written, **rest))

    def attention(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: Any, causal: bool) -> Any:
        """Note one fused attention and return the shape of its result, laid out as kernels lay it out."""
        batch = torch.broadcast_shapes(query.shape[:-3], key.shape[:-3])  # type: ignore[no-untyped-call]
        heads, queries, width = query.shape[-3:]
        value_width = value.shape[-1]
        shape = AttentionShape(
            batch=int(torch.Size(batch).numel()),
            heads=heads,
            key_value_heads=key.shape[-3],
            queries=queries,
            keys=value.shape[-2],
            width=width,
            value_width=value_width,
            causal=causal,
            full_mask=mask is not None and mask.dtype == torch.bool and not mask.is_meta and bool(mask.all()),
        )
        read = shape.query_elements + shape.key_elements
        self._append("attention", read, 0, flops=shape.flops, inner=width, outer=heads, attention=shape)
        return query.new_empty(*batch, queries, heads, value_width, device="meta").transpose(-2, -3)

    def run(self, name: str, module: nn.Module, forward: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run one module's forward, and note the call."""
        start, inner = len(self.recording.events), len(self.recording.calls)
        self.stack.append((name, module))
        try:
            output = forward(*args, **kwargs)
        finally:
            self.stack.pop()
        end = len(self.recording.events)
        self.recording.calls.append(Call(name, module, args, kwargs, output, start, end, inner))
        return output

    def fresh(self) -> Recording:
        """What was recorded so far; the recorder starts anew."""
        done, self.recording = self.recording, Recording()
        return done


def _positive(value: Any) -> bool:
    return isinstance(value, int) and value > 0


def elements(tensor: torch.Tensor) -> int:
    """Elements in memory: a broadcast dimension counts once."""
    count = 1
    for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
        count *= size if stride else 1
    return count


def is_weight(tensor: torch.Tensor) -> bool:
    """Whether a tensor is a parameter or a view of one."""
    return isinstance(tensor, nn.Parameter) or hasattr(tensor, "_foveate_weight")


def _inherit_weight(args: Any, result: Any) -> None:
    first = next(tensors_in(args), None)
    if first is not None and is_weight(first):
        for tensor in tensors_in(result):
            tensor._foveate_weight = True  # type: ignore[attr-defined]


@contextmanager
def recording() -> Iterator[Recorder]:
    """A context in which one recorder sees every operation, fused attention in one piece."""
    recorder = Recorder()
    functional: Any = torch.nn.functional
    original, fast = functional.scaled_dot_product_attention, torch.backends.mha.get_fastpath_enabled()

    def attention(
        query: Any,
        key: Any,
        value: Any,
        attn_mask: Any = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        **_: Any,
    ) -> Any:
        return recorder.attention(query, key, value, attn_mask, is_causal)

    functional.scaled_dot_product_attention = attention
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), RealData(), recorder:
            yield recorder
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        functional.scaled_dot_product_attention = original
