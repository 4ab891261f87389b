"""What two plans do differently, and what that changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from ...ir.placement import Placement
from ...ir.plan import Plan
from ...ir.site import Site

Change = Literal["only first", "only second", "changed"]


@dataclass(frozen=True)
class PlacementChange:
    """A placement that one of the plans lacks, or that both have with other fractions, parameters or counts."""

    change: Change
    first: Placement | None
    second: Placement | None


@dataclass(frozen=True)
class FigureChange:
    """A figure of the first and of the second plan, None where one does not state it; `kind` says how it is known."""

    name: str
    kind: str
    first: float | None
    second: float | None

    @property
    def difference(self) -> float | None:
        """Second minus first, None where one of them is missing."""
        return None if self.first is None or self.second is None else self.second - self.first


@dataclass(frozen=True)
class SettingChange:
    """What the plans are for, where they differ: model, workload, device or budget."""

    name: str
    first: str
    second: str


@dataclass(frozen=True)
class PlanDiff:
    """Every difference between two plans; empty where they say the same.

    Figures are given wherever one of the plans states them, differing or not, since equal figures matter too.
    """

    settings: tuple[SettingChange, ...]
    placements: tuple[PlacementChange, ...]
    figures: tuple[FigureChange, ...]

    @property
    def same(self) -> bool:
        """Whether both plans have the same settings, placements and figures."""
        equal = all(figure.first == figure.second for figure in self.figures)
        return not self.settings and not self.placements and equal


def diff(first: Plan, second: Plan) -> PlanDiff:
    """The differences from `first` to `second`, placements in order of flow.

    Example:
        >>> quarter, half = (Plan.of(Placement("pool", "image.projector.output", keep)) for keep in (0.25, 0.5))
        >>> [change.change for change in diff(quarter, half).placements], diff(half, half).same
        (['changed'], True)
    """
    return PlanDiff(
        settings=tuple(_settings(first, second)),
        placements=tuple(_placements(first.placements, second.placements)),
        figures=tuple(_figures(first, second)),
    )


def _placements(first: Sequence[Placement], second: Sequence[Placement]) -> Iterator[PlacementChange]:
    before, after = ({_place(item): item for item in items} for items in (first, second))
    for place in sorted({*before, *after}, key=lambda key: (Site.parse(key[1]).depth, key)):
        one, other = before.get(place), after.get(place)
        if one is None or other is None:
            yield PlacementChange("only first" if other is None else "only second", one, other)
        elif one != other:
            yield PlacementChange("changed", one, other)


def _place(placement: Placement) -> tuple[str, str, tuple[str, ...]]:
    return placement.method, placement.site, placement.modality or ()


def _settings(first: Plan, second: Plan) -> Iterator[SettingChange]:
    for name, one, other in zip(("model", "workload", "device", "budget"), _texts(first), _texts(second), strict=True):
        if one != other:
            yield SettingChange(name, one, other)


def _texts(plan: Plan) -> tuple[str, ...]:
    model = "" if plan.model is None else f"{plan.model.name} ({plan.model.type})"
    device = "" if plan.device is None else f"{plan.device.name}, {plan.device.dtype}, {plan.device.profile} profile"
    workload = "" if plan.workload is None else str(plan.workload)
    return model, workload, device, ", ".join(map(str, plan.budget))


def _figures(first: Plan, second: Plan) -> Iterator[FigureChange]:
    before, after = dict(_stated(first)), dict(_stated(second))
    for name, kind in dict.fromkeys((*before, *after)):
        yield FigureChange(name, kind, before.get((name, kind)), after.get((name, kind)))


def _stated(plan: Plan) -> Iterator[tuple[tuple[str, str], float]]:
    """(name, kind) and value of every figure that a plan states."""
    if plan.predicted is not None:
        yield ("ttft_ms", "predicted"), plan.predicted.ttft_ms
        yield ("tpot_ms", "predicted"), plan.predicted.tpot_ms
        yield ("memory_bytes", "predicted"), float(plan.predicted.memory_bytes)
    if plan.measured is not None:
        yield ("ttft_ms", "measured"), plan.measured.ttft_ms
        yield ("ttft_ratio", "measured"), plan.measured.ratio
    if plan.fidelity is not None:
        yield ("fidelity", plan.fidelity.kind), plan.fidelity.value
