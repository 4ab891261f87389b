"""From one recorded forward to stages: which layer ran what, over how many tokens."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ..graph import Layer, Mixing
from ..op import Op
from ..polynomial import ROWS, as_polynomial
from .events import Event
from .recorder import Call, Recording
from .replay import Replayer, loose_ops
from .resize import Extent, extent_of, first_shape, segments

Roots = Mapping[str, Sequence[str]]
"""Names of the modules that make up each stage, by stage name."""


@dataclass
class Draft:
    """What a recording says of one stage.

    Attributes:
        layers, tokens: one count of tokens for each layer. sequences: sequences that the layers process.
        first, depth: where the numbered layers start and how many there are.
        tokens_after: tokens of one sequence that leave it. width: channels of its stream.
        key_value_widths: channels of keys and values of each numbered layer, 0 where it caches none.
        step: token counts can vary in this step inside it; 0 where they cannot.
        inactive: parameters of experts that no token of a request with few tokens reaches.
    """

    layers: list[Layer] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    sequences: int = 1
    first: int = 0
    depth: int = 0
    tokens_after: int = 0
    width: int = 0
    key_value_widths: list[int] = field(default_factory=list)
    step: int = 1
    inactive: int = 0

    @property
    def mixing(self) -> Mixing:
        """How the stage mixes tokens, by what its recording allows."""
        if any(op.kind == "attention" for layer in self.layers for op in layer.ops):
            return "sequence"
        return {0: "grid", 1: "pointwise"}.get(self.step, "group")  # type: ignore[return-value]


class Assembler:
    """Sorts one recording into stages."""

    def __init__(self, recording: Recording, roots: Roots, replayer: Replayer) -> None:
        self.recording, self.replayer = recording, replayer
        self.prefixes = sorted(((m, s) for s, modules in roots.items() for m in modules), key=lambda p: -len(p[0]))
        self.stage_of_path: dict[str, str | None] = {}
        self.above = {m[:i].rstrip(".") for m, _ in self.prefixes for i in range(len(m)) if not i or m[i] == "."}
        self.homes = self._homes(list(roots))
        self.fitted: dict[int, tuple[list[Op], int]] = {}

    def stage_of(self, path: str) -> str | None:
        """The stage that a module belongs to: the one with the longest module name that `path` starts with."""
        if path not in self.stage_of_path:
            names = (s for m, s in self.prefixes if path == m or path.startswith(f"{m}.") or not m)
            self.stage_of_path[path] = next(names, None)
        return self.stage_of_path[path]

    def _homes(self, order: list[str]) -> list[str]:
        """The stage of each event; what runs between stages goes to the one that it prepares or completes."""
        events = self.recording.events
        own = [self.stage_of(event.path) for event in events]
        media = [s for s in order if s.endswith((".encoder", ".projector"))]
        projector = next((s for s in order if s.endswith(".projector")), "decoder")
        above = [event.path in self.above for event in events]
        layers = self._decoder_layers()
        start, end = (
            min((c.start for c in layers), default=len(events)),
            max((c.end for c in layers), default=len(events)),
        )
        began = min((i for i, s in enumerate(own) if s in media), default=len(events))
        beyond = [i for i in range(began, start) if own[i] in media or (own[i] is None and not above[i])]
        last = max(beyond, default=-1)
        homes = []
        for index, stage in enumerate(own):
            inside = began <= index <= last or (not above[index] and index < start)
            late = index >= end and "head" in order
            homes.append(stage or (projector if inside else "head" if late else "decoder"))
        return homes

    def _decoder_layers(self) -> list[Call]:
        listed = self.replayer.instruments.layers
        return [c for c in self.recording.calls if c.path in listed and self.stage_of(c.path) == "decoder"]

    def draft(self, stage: str) -> Draft:
        """The stage called `stage`, empty where nothing of it ran."""
        draft = Draft()
        layers = self._layer_calls(stage)
        ran = [(self.recording.calls[i].start, self.recording.calls[i].end) for i in layers]
        inside = {place for start, end in ran for place in range(start, end)}
        places = [i for i, home in enumerate(self.homes) if home == stage and i not in inside]
        starts = [self.recording.calls[i].start for i in layers]
        first, last = (starts[0], self.recording.calls[layers[-1]].end) if layers else (math.inf, math.inf)
        extents = self._extents([self.recording.calls[i] for i in layers])
        units = self._units(stage, layers)
        base = self._base(extents, units)
        draft.sequences, draft.width = base.batch, base.width
        self._outside(
            draft,
            stage,
            "embeddings" if layers else stage.split(".")[-1],
            [p for p in places if p < first],
            units,
            base,
        )
        draft.first = len(draft.layers)
        for index, extent in zip(layers, extents, strict=True):
            self._layer(draft, stage, index, extent or base, base)
        draft.depth = len(layers)
        after = [p for p in places if p >= first]
        tail = base if not draft.tokens else Extent(base.batch, draft.tokens[-1], width=base.width)
        self._between(draft, stage, [p for p in after if p < last], tail)
        self._outside(draft, stage, "norm", [p for p in after if p >= last], units, tail)
        draft.tokens_after = self._after(stage, units, layers, draft)
        return draft

    def _extents(self, calls: list[Call]) -> list[Extent | None]:
        """The extent of each layer call; windows are counted in the sequences that full attention sees."""
        plain = [extent for call in calls if (extent := extent_of(call)) is not None and extent.packed]
        packed = [extent.batch for call, extent in zip(calls, plain, strict=False) if segments(call, extent.rows)]
        return [extent_of(call, batch=min(packed, default=None)) for call in calls]

    def _layer_calls(self, stage: str) -> list[int]:
        """Places of the calls of the stage's layers: members of the module list whose members ran most often."""
        calls, listed = self.recording.calls, self.replayer.instruments.layers
        found = [i for i, call in enumerate(calls) if call.path in listed and self.stage_of(call.path) == stage]
        counts = Counter(calls[i].path.rpartition(".")[0] for i in found)
        if not counts:
            return []
        main = counts.most_common(1)[0][0]
        return [i for i in found if calls[i].path.rpartition(".")[0] == main]

    def _units(self, stage: str, layers: list[int]) -> list[int]:
        """Places of the outermost calls that belong to the stage alone and hold none of its layers, in order."""
        calls, taken = self.recording.calls, []
        inside_layers = {k for i in layers for k in range(calls[i].inner, i + 1)}
        covered: set[int] = set()
        for index in range(len(calls) - 1, -1, -1):
            call = calls[index]
            if index in covered or index in inside_layers or call.start == call.end:
                continue
            if set(self.homes[call.start : call.end]) != {stage} or any(call.inner <= i < index for i in layers):
                continue
            if call.path in self.above:
                continue
            taken.append(index)
            covered.update(range(call.inner, index))
        return taken[::-1]

    def _base(self, extents: Sequence[Extent | None], units: list[int]) -> Extent:
        """The extent that the stage's counts are in: its first layer's, or that of the first of its own modules."""
        found = next((e for e in extents if e is not None), None)
        own_first = sorted(units, key=lambda index: self.stage_of(self.recording.calls[index].path) is None)
        for index in own_first if found is None else ():
            found = found or extent_of(self.recording.calls[index])
        return found or Extent(1, 1)

    def _layer(self, draft: Draft, stage: str, index: int, extent: Extent, base: Extent) -> None:
        call = self.recording.calls[index]
        source = call.source
        key = id(source)
        if key not in self.fitted:
            events = self.replayer.instruments.events[id(source)]
            self.fitted[key] = self.replayer.ops(source, events, extent, root=source.path, causal=stage == "decoder")
        ops, step = self.fitted[key]
        width = _key_value_width(self.replayer.instruments.events[id(source)])
        if stage == "decoder" and width:
            ops = [*ops, Op("cache", "gather", elements=2 * width * ROWS, launches=as_polynomial(2))]
        if extent.batch != base.batch:
            ops, step = (
                loose_ops(
                    self.replayer.instruments.events[id(source)],
                    (base.batch, extent.rows // base.batch),
                    root=source.path,
                ),
                0,
            )
        draft.layers.append(Layer(f"layers.{len(draft.layers) - draft.first}", tuple(ops)))
        draft.tokens.append(extent.rows // base.batch)
        draft.step = step if not step or not draft.step else max(draft.step, step)
        draft.key_value_widths.append(width)
        draft.inactive += _inactive(self.replayer.instruments.events[id(source)], extent.rows)

    def _outside(self, draft: Draft, stage: str, name: str, places: list[int], units: list[int], base: Extent) -> None:
        """One layer of what ran before or after the numbered ones."""
        root = next((m for m, s in self.prefixes if s == stage), "")
        ops: list[Op] = []
        for call, events in self._pieces(places, units):
            if call is not None:
                ops += self._unit_ops(draft, call, events, root, base)
            else:
                ops += loose_ops(events, (base.batch, base.tokens), root=root)
        if ops:
            draft.layers.append(Layer(name, tuple(ops)))
            draft.tokens.append(base.tokens)

    def _pieces(self, places: list[int], units: list[int]) -> Iterator[tuple[Call | None, list[Event]]]:
        """The events at `places`, in order: whole calls, and what ran between them."""
        starting = {self.recording.calls[u].start: self.recording.calls[u] for u in units}
        loose: list[Event] = []
        inside = -1
        for place in places:
            if place < inside:
                continue
            call = starting.get(place)
            if call is None:
                loose.append(self.recording.events[place])
                continue
            if loose:
                yield None, loose
            loose, inside = [], call.end
            yield call, self.recording.events[call.start : call.end]
        if loose:
            yield None, loose

    def _unit_ops(self, draft: Draft, call: Call, events: list[Event], root: str, base: Extent) -> list[Op]:
        extent = extent_of(call)
        if extent is None or (extent.batch, extent.tokens) != (base.batch, base.tokens):
            return loose_ops(events, (base.batch, base.tokens), root=root)
        ops, step = self.replayer.ops(call, events, extent, root=root or call.path, causal=False)
        if not draft.depth:
            draft.step = step if not step or not draft.step else max(draft.step, step)
        return ops

    def _between(self, draft: Draft, stage: str, places: list[int], base: Extent) -> None:
        """What ran between numbered layers (added features, reordered windows), joined to the layer before it."""
        calls, layers = self.recording.calls, self._layer_calls(stage)
        by_layer: dict[int, list[Event]] = {}
        for place in places:
            number = max(n for n, i in enumerate(layers) if calls[i].start <= place)
            by_layer.setdefault(number, []).append(self.recording.events[place])
        for number, events in by_layer.items():
            at = draft.first + number
            ops = loose_ops(events, (base.batch, draft.tokens[at]), root=stage)
            draft.layers[at] = Layer(draft.layers[at].name, (*draft.layers[at].ops, *ops))

    def _after(self, stage: str, units: list[int], layers: list[int], draft: Draft) -> int:
        """Tokens of one sequence in what the stage returns: its own module, or the last call in it."""
        calls = self.recording.calls
        roots = [m for m, s in self.prefixes if s == stage]
        whole = [i for i, call in enumerate(calls) if call.path in roots]
        last = max(whole if layers and whole else [*units, *layers], default=None)
        shape = first_shape(calls[last].output) if last is not None else None
        if shape is None or len(shape) < 2:
            return draft.tokens[-1] if draft.tokens else 0
        return math.prod(shape[:-1]) // draft.sequences


def _key_value_width(events: Sequence[Event]) -> int:
    """Channels of keys and values together of the first attention whose keys are the layer's own tokens."""
    for event in events:
        shape = event.attention
        if shape is not None and shape.queries == shape.keys:
            return shape.key_value_heads * (shape.width + shape.value_width)
    return 0


def _inactive(events: Sequence[Event], rows: int) -> int:
    """Parameters of a layer's experts beyond those that one token uses."""
    total = 0
    for event in events:
        if "grouped_mm" in event.name and rows:
            (picked, _), (experts, *_) = event.operands
            total += event.weights - event.weights * min(picked // rows, experts) // experts
    return total
