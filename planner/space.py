"""The search space: which passes fit where, and how a decision becomes placements."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..common.errors import BadInput
from ..ir.graph import Graph
from ..ir.layout import kept_count
from ..ir.placement import Placement
from ..passes import REGISTRY, create
from ..runtime import resolve
from .conflicts import forbidden

ALWAYS = ("random", "uniform", "pool")
"""Baselines that are always candidates: at equal latency they beat many designed methods."""

_USUAL_LAYER = 2  # where in-decoder pruning is usually placed (FastV's K, arXiv:2403.06764)


@dataclass(frozen=True)
class Decision:
    """What the search decides; how much is dropped is solved for afterwards.

    Attributes:
        first: the pass at the projector's output, None for none there.
        second: the pass at the decoder layer `layer`, None for none there.
        layer: the decoder layer of `second`.
        share: the part of all dropped tokens that `first` drops, 0 to 1; 1 where it acts alone.

    Example:
        >>> str(Decision(first="divprune", second="fastv", layer=2, share=0.75))
        'divprune + fastv@2 (75 % first)'
    """

    first: str | None = None
    second: str | None = None
    layer: int | None = None
    share: float = 1.0

    @property
    def is_single(self) -> bool:
        """Whether exactly one pass acts."""
        return (self.first is None) != (self.second is None)

    def __str__(self) -> str:
        if self.first is None and self.second is None:
            return "nothing"
        parts = [] if self.first is None else [self.first]
        parts += [] if self.second is None else [f"{self.second}@{self.layer}"]
        return " + ".join(parts) + ("" if self.is_single else f" ({100 * self.share:.0f} % first)")


@dataclass(frozen=True)
class Space:
    """The passes and layers that one traced graph allows, conflicts taken out.

    Attributes:
        graph: the uncompressed graph. first: passes at the projector's output. second: passes inside the decoder.
        layers: decoder layers that offer a site.
    """

    graph: Graph
    first: tuple[str, ...]
    second: tuple[str, ...]
    layers: tuple[int, ...]

    @classmethod
    def of(cls, graph: Graph, passes: Sequence[str] | None = None) -> Space:
        """The space of `graph`; `passes` restricts it, but for the baselines in `ALWAYS`.

        Raises:
            BadInput: an unknown pass, or a workload without any media to compress.
        """
        if not graph.layouts:
            raise BadInput("the workload carries no image, video or sound, so there is nothing to compress")
        names = REGISTRY.names() if passes is None else tuple(dict.fromkeys((*passes, *ALWAYS)))
        layers = tuple(site.layer for site in graph.sites() if site.kind == "decoder.layer" and site.layer is not None)
        first = tuple(name for name in sorted(names) if _fits(graph, _at_projector(graph, name, 0.5)))
        at = layers[0] if layers else None
        second = tuple(name for name in sorted(names) if at and _fits(graph, _at_decoder(graph, name, at, 0.5)))
        return cls(graph, first, second, layers)

    @property
    def tokens(self) -> int:
        """Compressible tokens of the largest medium, N."""
        return max(layout.count for layout in self.graph.layouts.values())

    def singles(self) -> Iterator[Decision]:
        """Every pass alone: at the projector's output, then at decoder layer 2, or the nearest that has a site."""
        yield from (Decision(first=name) for name in self.first)
        near = min(self.layers, key=lambda layer: abs(layer - _USUAL_LAYER), default=None)
        yield from (Decision(second=name, layer=near, share=0.0) for name in self.second)

    def allowed(self, decision: Decision) -> bool:
        """Whether no rule forbids `decision`."""
        placements = self.placements(decision, self.tokens // 2)
        return forbidden(placements, REGISTRY.items(), self.graph.workload) is None

    def placements(self, decision: Decision, dropped: int) -> tuple[Placement, ...]:
        """The placements that leave N - `dropped` tokens of the largest medium, others in proportion.

        A placement that would keep everything is left out.
        """
        after_first = self.tokens - round(decision.share * dropped) if decision.first else self.tokens
        keep = _fraction(after_first, self.tokens)
        placements = _at_projector(self.graph, decision.first, keep) if decision.first and keep < 1 else ()
        if decision.second is None or decision.layer is None:
            return placements
        arriving = self._arriving(decision.first, keep)
        keep = _fraction(min(arriving, self.tokens - dropped), arriving)
        if keep == 1:
            return placements
        return (*placements, *_at_decoder(self.graph, decision.second, decision.layer, keep))

    def _arriving(self, first: str | None, keep: float) -> int:
        """Tokens of the largest medium at the decoder; a pooled grid may differ from what was asked for."""
        layout = max(self.graph.layouts.values(), key=lambda item: item.count)
        return layout.count if first is None else create(first).count(layout, keep).count


def _at_projector(graph: Graph, name: str, keep: float) -> tuple[Placement, ...]:
    """`name` at the projector output of every modality that it takes."""
    cls = REGISTRY.get(name)
    taken = [modality for modality in graph.layouts if modality in cls.modalities]
    return tuple(Placement(name, f"{modality}.projector.output", keep) for modality in taken)


def _at_decoder(graph: Graph, name: str, layer: int, keep: float) -> tuple[Placement, ...]:
    """`name` at a decoder layer, on the modalities that it takes."""
    cls = REGISTRY.get(name)
    taken = tuple(modality for modality in graph.layouts if modality in cls.modalities)
    scope = None if len(taken) == len(graph.layouts) else taken
    return (Placement(name, f"decoder.layers.{layer}", keep, modality=scope),) if taken else ()


def _fits(graph: Graph, placements: tuple[Placement, ...]) -> bool:
    """Whether the runtime can place them and no rule forbids them."""
    try:
        resolve(graph, placements)
    except BadInput:
        return False
    return bool(placements) and forbidden(placements, REGISTRY.items(), graph.workload) is None


def _fraction(count: int, total: int) -> float:
    """The shortest decimal fraction that keeps `count` of `total`."""
    for digits in range(2, 9):
        keep = round(count / total, digits)
        if 0 < keep <= 1 and kept_count(total, keep) == count:
            return keep
    return count / total
