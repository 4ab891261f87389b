"""What the gate says of one limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...ir.budget import Budget
from .looks import Outcome

_ORDER: tuple[Outcome, ...] = ("held", "undecided", "broken")


@dataclass(frozen=True)
class Verdict:
    """What the gate says of one limit.

    Attributes:
        verdict: `held`, `broken`, or `undecided` where the interval straddles the limit.
        budget: the limit. mode: how the figure was had: `measure`, `predict` or `recorded` (fidelity in the plan).
        value_ms, limit_ms: the figure and its limit, in ms (memory in bytes, throughput in requests a second, fidelity
            as it is).
        interval: interval of the figure at the gate's confidence; equal bounds where there is none.
        ratio: the figure over the uncompressed model's and the bounds of that, which survive a change of machine;
            empty where there is none.
        against: the baseline's name where the limit is one on how much worse than it the plan may be.
    """

    verdict: Outcome
    budget: str
    value_ms: float
    limit_ms: float
    interval: tuple[float, float]
    mode: str
    ratio: tuple[float, ...] = ()
    against: str = ""

    @property
    def figure(self) -> str:
        """The figure that is limited: `ttft`, `memory`, `fidelity`, ..."""
        return self.budget.replace(">", "<").split("<", 1)[0]

    @property
    def at_least(self) -> bool:
        """Whether the figure must reach its limit rather than stay under it."""
        return Budget(self.figure, 1.0).at_least

    @property
    def strain(self) -> float:
        """How much of its limit the figure uses up; above 1 it is past it."""
        ratio = self.value_ms / self.limit_ms if self.limit_ms else float("inf")
        return (1 / ratio if ratio else float("inf")) if self.at_least else ratio


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """The worst of `verdicts`, and the one nearest to its limit among equals."""
    return max(verdicts, key=lambda found: (_ORDER.index(found.verdict), found.strain))
