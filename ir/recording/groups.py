"""From recorded events to the operations of a layer: small kernels of one module joined, attention in one piece."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ..op import OpKind
from .events import AttentionShape, Event

_SMALL = ("elementwise", "gather", "reduction", "selection")
"""Kinds of kernels that one host call joins: a rotary embedding is one operation of ten launches."""

_RMS_PASSES = 3
"""An eager RMSNorm goes through the whole row for its square, its mean and its products."""


@dataclass(frozen=True)
class Group:
    """Events that make one operation.

    Attributes:
        name: dotted, inside the recorded module. kind: see `Op.kind`.
        executed, convention: FLOPs. elements: activation traffic without keys; key_elements: keys and values read.
    """

    name: str
    kind: OpKind
    executed: int
    convention: int
    elements: int
    key_elements: int
    launches: int
    weights: int
    inner: int = 0
    outer: int = 0
    attention: AttentionShape | None = None
    causal: bool = False
    window: int | None = None

    @property
    def values(self) -> tuple[int, ...]:
        """What a polynomial is sought for: executed, convention, elements, key_elements, launches."""
        return self.executed, self.convention, self.elements, self.key_elements, self.launches


def grouped(events: Sequence[Event], root: str) -> list[Group]:
    """The operations of events that ran inside the module `root`, in order."""
    return [_group(piece, root) for piece in _pieces(events)]


def by_module(events: Sequence[Event], root: str) -> list[Group]:
    """The same, with all events of one module and kind joined: for loops whose turns depend on the token count."""
    found: dict[tuple[str, str], list[Event]] = {}
    for event in events:
        found.setdefault((event.path, event.kind), []).append(event)
    return [_group(piece, root) for piece in found.values()]


def _pieces(events: Sequence[Event]) -> Iterator[list[Event]]:
    """Runs of events that are one operation each."""
    index = 0
    while index < len(events):
        end = _attention_end(events, index) or _same_end(events, index)
        yield list(events[index:end])
        index = end


def _same_end(events: Sequence[Event], start: int) -> int:
    """Events of one kind in one module that follow one another; matrix products stand alone, segments join."""
    first, end = events[start], start + 1
    if first.kind in ("gemm", "convolution"):
        return end
    small = first.kind in _SMALL
    while end < len(events) and events[end].path == first.path:
        if events[end].kind != first.kind and not (small and events[end].kind in _SMALL):
            break
        if _attention_end(events, end):
            break
        end += 1
    return end


def _attention_end(events: Sequence[Event], start: int) -> int | None:
    """Where unfused attention that starts here ends: scores, softmax, weighted sum in one module."""
    first = events[start]
    if first.name not in ("bmm", "baddbmm") or first.weights:
        return None
    softmax = False
    for end in range(start + 1, min(start + 16, len(events))):
        event = events[end]
        if event.path != first.path and event.kind in ("gemm", "attention"):
            return None
        if event.name == "_softmax":
            softmax = True
        elif event.name == "bmm":
            return end + 1 if softmax and event.operands[0][-1] == first.operands[1][-1] else None
    return None


def _group(events: list[Event], root: str) -> Group:
    first = events[0]
    kind: OpKind = "attention" if _is_unfused(events) else _main_kind(events)
    last = root.rpartition(".")[2]
    path = first.path.removeprefix(root).lstrip(".") or ("" if kind in _SMALL or last.isdigit() else last)
    shape = _unfused(events) if _is_unfused(events) else _joined(events)
    scores = 0 if shape is None or first.attention else sum(e.read + e.written for e in events[1:-1])
    convention = sum(event.flops for event in events)
    elements = sum(event.read + event.written for event in events)
    executed = sum(event.executed for event in events)
    if kind == "normalization" and "Norm" in first.owner:
        passes = 1 if len(events) == 1 else _RMS_PASSES
        executed, elements = 5 * first.read, 2 * passes * first.read
    if shape is not None:
        elements, executed = shape.query_elements + scores, convention
    return Group(
        name=path if kind in ("gemm", "convolution", "normalization") and path else f"{path}.{kind}".lstrip("."),
        kind=kind,
        executed=executed,
        convention=convention,
        elements=elements,
        key_elements=0 if shape is None else shape.key_elements,
        launches=len(events),
        weights=sum(event.weights for event in events),
        inner=first.inner,
        outer=first.outer if shape is None else shape.heads,
        attention=shape,
        causal=shape is not None and not shape.full_mask and (shape.causal or first.causal),
        window=first.window,
    )


def _main_kind(events: list[Event]) -> OpKind:
    """The kind that moves most elements."""
    traffic: dict[OpKind, int] = {}
    for event in events:
        traffic[event.kind] = traffic.get(event.kind, 0) + event.read + event.written
    return max(traffic, key=lambda kind: traffic[kind])


def _is_unfused(events: list[Event]) -> bool:
    return events[0].name in ("bmm", "baddbmm") and len(events) > 1 and events[-1].name == "bmm"


def _unfused(events: list[Event]) -> AttentionShape:
    """Scores (batch x heads, queries, width) x (.., width, keys): batch and heads stay one number."""
    (count, queries, width), (_, _, keys) = events[0].operands
    value_width = events[-1].operands[1][-1]
    return AttentionShape(1, count, count, queries, keys, width, value_width)


def _joined(events: list[Event]) -> AttentionShape | None:
    """Segments of packed attention as one: equal ones as a larger batch, unequal ones end to end.

    Their FLOPs are summed from the events, not taken from the joined shape.
    """
    shapes = [event.attention for event in events if event.attention is not None]
    if not shapes:
        return None
    first = shapes[0]
    if all((s.queries, s.keys) == (first.queries, first.keys) for s in shapes):
        return replace(first, batch=sum(s.batch for s in shapes))
    return replace(first, batch=1, queries=sum(s.queries for s in shapes), keys=sum(s.keys for s in shapes))
