"""The search space: which passes fit where in one traced graph, and which of them go together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from ...common.errors import BadInput
from ...ir.graph import Graph
from ...ir.placement import Placement
from ...ir.plan import Plan
from ...passes import REGISTRY
from ...runtime import apply, resolve
from ..rules.conflicts import discount, forbidden
from .decision import Decision, Step, in_order, place_of, site_of
from .placements import largest, modalities_of, placements_of

ALWAYS = ("random", "uniform", "pool", "downsample")
"""Baselines that are always candidates where they exist: at equal latency they beat many designed methods."""

MOST_STEPS = 3
"""Passes that one plan may hold; a schedule counts as one."""

_USUAL_LAYER = 2  # where in-decoder pruning is usually placed (FastV's K, arXiv:2403.06764)
_MOST_LAYERS = 8
"""Layers of one kind that are offered, spread evenly over the depth, beside the usual one."""


@dataclass(frozen=True)
class Space:
    """The steps that one traced graph allows, conflicts taken out.

    Attributes:
        graph: the uncompressed graph.
        options: for each pass the steps that it can take, in order of flow, schedules among them.
    """

    graph: Graph
    options: Mapping[str, tuple[Step, ...]]
    _relations: dict[tuple[object, ...], float] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, graph: Graph, passes: Sequence[str] | None = None) -> Space:
        """The space of `graph`; `passes` restricts it, but for the baselines in `ALWAYS`.

        Raises:
            BadInput: an unknown pass, or a workload without any media to compress.
        """
        graph.require_one_size()
        if not graph.layouts:
            raise BadInput("the workload carries no image, video or sound, so there is nothing to compress")
        baselines = [name for name in ALWAYS if name in REGISTRY]
        names = REGISTRY.names() if passes is None else tuple(dict.fromkeys((*passes, *baselines)))
        places = _places(graph)
        options = {name: tuple(_options(graph, name, places)) for name in sorted(names)}
        return cls(graph, {name: steps for name, steps in options.items() if steps})

    def taken_by(self, model: Any) -> Space:
        """The steps that a live model takes: each is applied once, and what the runtime refuses is left out."""
        options = {name: tuple(s for s in steps if self._taken(model, s)) for name, steps in self.options.items()}
        return replace(self, options={name: steps for name, steps in options.items() if steps})

    def _taken(self, model: Any, step: Step) -> bool:
        try:
            with apply(model, Plan.of(*self.placements(Decision.of(step), self.tokens // 2))):
                return True
        except BadInput:
            return False

    @cached_property
    def tokens(self) -> int:
        """Compressible tokens of the largest medium, N."""
        return largest(self.graph)

    @property
    def methods(self) -> tuple[str, ...]:
        """The passes that fit anywhere."""
        return tuple(self.options)

    @property
    def steps(self) -> tuple[Step, ...]:
        """Every step, pass by pass."""
        return tuple(step for steps in self.options.values() for step in steps)

    def singles(self) -> Iterator[Decision]:
        """Every pass alone, once for each kind of site and choice of modalities: at the usual decoder layer, in the
        middle of an encoder."""
        for alike in self._alike():
            usual = min(alike, key=_unusual) if alike[0].kind == "decoder.layer" else alike[len(alike) // 2]
            yield Decision.of(usual)

    def earliest(self) -> Iterator[Decision]:
        """The same at its first place, where it saves most."""
        yield from (Decision.of(alike[0]) for alike in self._alike())

    def _alike(self) -> Iterator[list[Step]]:
        """The plain steps of each pass at each kind of site with each choice of modalities, in order of flow."""
        for steps in self.options.values():
            found: dict[tuple[str, str | None], list[Step]] = {}
            for step in (step for step in steps if len(step.places) == 1):
                found.setdefault((step.kind, step.modality), []).append(step)
            yield from found.values()

    def allowed(self, decision: Decision) -> bool:
        """Whether the steps are few enough and no rule forbids one of them or two together."""
        return len(decision.steps) <= MOST_STEPS and self.gain(decision.steps) > 0

    def gain(self, steps: Sequence[Step]) -> float:
        """The product of the conflict table's discounts over all pairs of `steps`, in order of flow; 0 if forbidden."""
        product = 1.0
        for number, later in enumerate(steps):
            for earlier in steps[:number]:
                product *= self._relation(earlier, later)
        return product

    def placements(self, decision: Decision, dropped: int) -> tuple[Placement, ...]:
        """The placements that leave N - `dropped` tokens of the largest medium, others in proportion."""
        return placements_of(self.graph, decision, dropped)

    def _relation(self, first: Step, second: Step) -> float:
        """The discount of one pair, 0 where it is forbidden or the two cross on their way through one stream.

        The table knows kinds of sites, so it is asked once for pairs that are alike.
        """
        scope = set(modalities_of(self.graph, first)) & set(modalities_of(self.graph, second))
        if scope and first.end >= second.depth:
            return 0.0
        key = (first.method, first.kind, first.modality, second.method, second.kind, second.modality)
        if key not in self._relations:
            self._relations[key] = self._asked(Decision.of(first, second))
        return self._relations[key]

    def _asked(self, pair: Decision) -> float:
        placed = self.placements(pair, self.tokens // 2)
        if forbidden(placed, REGISTRY.items(), self.graph.workload) is not None:
            return 0.0
        try:
            resolve(self.graph, placed)
        except BadInput:  # each goes alone, but not the two together
            return 0.0
        return discount(placed, REGISTRY.items(), self.graph.workload)


def _places(graph: Graph) -> dict[str, tuple[str, ...]]:
    """The graph's places by kind, in order of flow, of many layers the few that are offered."""
    found: dict[str, list[str]] = {}
    for site in graph.sites():
        found.setdefault(site.kind, []).append(place_of(site))
    return {kind: _spread(in_order(places)) for kind, places in found.items()}


def _spread(places: tuple[str, ...]) -> tuple[str, ...]:
    """`_MOST_LAYERS` of more `places`, evenly from the first to the last, and the usual layer."""
    if len(places) <= _MOST_LAYERS:
        return places
    chosen = {round(i * (len(places) - 1) / (_MOST_LAYERS - 1)) for i in range(_MOST_LAYERS)}
    chosen.add(min(range(len(places)), key=lambda i: abs((site_of(places[i]).layer or 0) - _USUAL_LAYER)))
    return tuple(places[i] for i in sorted(chosen))


def _options(graph: Graph, name: str, places: Mapping[str, tuple[str, ...]]) -> Iterator[Step]:
    """The steps of one pass, in order of flow; layers of one kind are alike, so the first is tried for all."""
    cls = REGISTRY.get(name)
    taken = [modality for modality in graph.layouts if modality in cls.modalities]
    scopes: list[str | None] = [None] if len(taken) < 2 else [None, *taken]
    for kind in (kind for kind in places if kind in cls.sites and taken):
        for scope in scopes:
            if _fits(graph, Step(name, places[kind][:1], scope)):
                yield from (Step(name, chosen, scope) for chosen in _choices(places[kind], scheduled=cls.query_aware))


def _choices(places: tuple[str, ...], *, scheduled: bool) -> Iterator[tuple[str, ...]]:
    """Each place alone; for passes that read the text, which deeper layers know better, in two and three stages too."""
    strides = (0, max(1, len(places) // 2), max(1, round(len(places) / 3))) if scheduled and len(places) > 2 else (0,)
    for start in range(len(places)):
        for stages, stride in enumerate(strides, start=1):
            if start + (stages - 1) * stride < len(places):
                yield tuple(places[start + i * stride] for i in range(stages))


def _fits(graph: Graph, step: Step) -> bool:
    """Whether the runtime can place it and no rule forbids it."""
    try:
        placed = placements_of(graph, Decision.of(step), largest(graph) // 2)
        resolve(graph, placed)
    except BadInput:
        return False
    return bool(placed) and forbidden(placed, REGISTRY.items(), graph.workload) is None


def _unusual(step: Step) -> tuple[int, int]:
    layer = site_of(step.places[0]).layer or 0
    return abs(layer - _USUAL_LAYER), layer
