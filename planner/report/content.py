"""What the report shows, as data: every number on the page is taken from here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...cost_models import CostModel
    from ...ir.graph import Graph
    from ...ir.plan import Plan


@dataclass(frozen=True)
class Costed:
    """A model as it was traced for the plan's workload, and what prices it.

    Attributes:
        graph: without placements. cost: None where the plan's device profile is not at hand.
    """

    graph: Graph
    cost: CostModel | None = None


@dataclass(frozen=True)
class Drawing:
    """A picture, clip or sound with what the plan keeps of it: PNG bytes, and words that say what is seen."""

    png: bytes
    caption: str


@dataclass(frozen=True)
class Trial:
    """A measured trial of the search.

    Attributes:
        plan: its placements in words. ttft_ms: predicted. value: fidelity or task metric on the calibration samples.
        held: whether it keeps the budgets. number: of the trial in its study; None where only the plan file tells.
    """

    plan: str
    ttft_ms: float
    value: float
    held: bool = True
    number: int | None = None


@dataclass(frozen=True)
class StageFlow:
    """One stage of one side of the flow.

    Attributes:
        name: as in the graph. tokens: of one request, in each layer. ms: its share of TTFT, None where unknown.
        marks: (layer, label) of the placements that act in front of a layer.
    """

    name: str
    tokens: tuple[int, ...]
    ms: float | None
    marks: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True)
class Flow:
    """One side of the flow, before or after: its stages in order, and TTFT where it is known."""

    title: str
    stages: tuple[StageFlow, ...]
    ttft_ms: float | None


@dataclass(frozen=True)
class Source:
    """Where a number comes from: what it is, its value in words, how it is known and from what."""

    figure: str
    value: str
    kind: str
    origin: str


@dataclass(frozen=True)
class Report:
    """All that the page shows.

    Attributes:
        plan: the plan. before, after: the token flow, None where neither plan nor model tells it.
        trials: measured trials, those of the study where it can be read. others: trials that ended unmeasured.
        front: trials that no other one beats. drawings: what is kept. sources: provenance.
        missing: by section, a sentence that says why it is left out or incomplete.
        model: what the traced model is called, None where none was given.
    """

    plan: Plan
    before: Flow | None
    after: Flow | None
    trials: tuple[Trial, ...]
    others: int
    front: tuple[Trial, ...]
    drawings: tuple[Drawing, ...]
    sources: tuple[Source, ...]
    missing: dict[str, str]
    model: str | None = None
