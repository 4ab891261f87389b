"""What the search decides: which passes act where, and how they share the dropping."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ...ir.site import Site


@dataclass(frozen=True)
class Step:
    """One pass at one place along the flow, or at several of them in turn (a schedule).

    Attributes:
        method: name of the pass.
        places: sites without their modality, in order of flow: `projector.output`, `encoder.layers.3.mid`,
            `decoder.layers.2`. Several are a schedule, whose stages keep the same fraction each.
        modality: acts on this one alone; None acts on every modality of the workload that the pass takes.

    Example:
        >>> str(Step("fastv", ("decoder.layers.2",)))
        'fastv@decoder.layers.2'
        >>> str(Step("pyramiddrop", ("decoder.layers.8", "decoder.layers.16")))
        'pyramiddrop@decoder.layers.8,16'
    """

    method: str
    places: tuple[str, ...]
    modality: str | None = None

    @property
    def depth(self) -> tuple[int, float]:
        """Where along the flow it first acts; earlier steps compare smaller."""
        return site_of(self.places[0]).depth

    @property
    def end(self) -> tuple[int, float]:
        """Where along the flow it acts last."""
        return site_of(self.places[-1]).depth

    @property
    def kind(self) -> str:
        """The kind of its (first) site."""
        return site_of(self.places[0]).kind

    def __str__(self) -> str:
        later = "".join(f",{place.rsplit('.', 1)[1]}" for place in self.places[1:])
        scope = f" on {self.modality}" if self.modality else ""
        return f"{self.method}@{self.places[0]}{later}{scope}"


Alike = tuple[tuple[Step, ...], tuple[float, ...]]
"""What decisions are told apart by."""


@dataclass(frozen=True)
class Decision:
    """Up to a few steps in order of flow; how much is dropped in all is solved for afterwards.

    Attributes:
        steps: in order of flow; none compresses nothing.
        shares: the part of all dropped tokens that each step drops; they sum to 1.

    Example:
        >>> pair = Decision.of(("divprune", "projector.output"), ("fastv", "decoder.layers.2"), shares=(3, 1))
        >>> str(pair)
        'divprune@projector.output (75 %) + fastv@decoder.layers.2 (25 %)'
        >>> pair.is_single, Decision.from_data(pair.to_data()) == pair
        (False, True)
    """

    steps: tuple[Step, ...] = ()
    shares: tuple[float, ...] = ()

    @classmethod
    def of(cls, *steps: Step | tuple[str, str], shares: Sequence[float] | None = None) -> Decision:
        """The decision for `steps`, given as they are or as (method, place), with `shares` scaled to sum to 1."""
        made = [step if isinstance(step, Step) else Step(step[0], (step[1],)) for step in steps]
        weights = [1.0] * len(made) if shares is None else [float(share) for share in shares]
        ordered = sorted(zip(made, weights, strict=True), key=lambda pair: pair[0].depth)
        total = sum(weights) or 1.0
        return cls(tuple(step for step, _ in ordered), tuple(weight / total for _, weight in ordered))

    @property
    def is_single(self) -> bool:
        """Whether exactly one pass acts."""
        return len(self.steps) == 1

    @property
    def methods(self) -> tuple[str, ...]:
        """The passes, in order of flow."""
        return tuple(step.method for step in self.steps)

    @property
    def alike(self) -> Alike:
        """The same for decisions that differ by rounding alone, as a sampler's weights make them."""
        return self.steps, tuple(round(share, 2) for share in self.shares)

    def to_data(self) -> dict[str, Any]:
        """Plain data for a study; `from_data` gives an equal decision back."""
        steps = [[step.method, list(step.places), step.modality] for step in self.steps]
        return {"steps": steps, "shares": list(self.shares)}

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Decision:
        """The decision that `to_data` wrote."""
        steps = tuple(Step(method, tuple(places), modality) for method, places, modality in data["steps"])
        return cls(steps, tuple(data["shares"]))

    def __str__(self) -> str:
        if len(self.steps) < 2:
            return "".join(map(str, self.steps)) or "nothing"
        parts = zip(self.steps, self.shares, strict=True)
        return " + ".join(f"{step} ({100 * share:.0f} %)" for step, share in parts)


NOTHING = Decision()
"""No compression."""


def site_of(place: str) -> Site:
    """The site of a place; which modality stands in it does not matter for its kind and depth."""
    return Site.parse(place if place.startswith("decoder") else f"image.{place}")


def place_of(site: Site) -> str:
    """The text of a site without its modality.

    >>> place_of(Site.parse("video.encoder.layers.3.mid"))
    'encoder.layers.3.mid'
    """
    return str(Site(site.kind, None, site.layer))


def in_order(places: Iterable[str]) -> tuple[str, ...]:
    """Places in order of flow, each once."""
    return tuple(sorted(dict.fromkeys(places), key=lambda place: site_of(place).depth))
