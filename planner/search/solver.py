"""How much to drop: the fewest tokens whose predicted figures hold every budget, by bisection on whole counts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from ...cost_models import Prediction
from ...ir.budget import Budget
from ...ir.graph import Graph
from ...ir.placement import Placement
from ...runtime import resolve
from .decision import Decision, Step
from .space import Space

if TYPE_CHECKING:
    from ...cost_models.table import Predictions

FloatArray = npt.NDArray[np.float64]

MARGIN = 0.04
"""How far below a time limit predictions aim, since the ratio moves by 3 % from process to process."""

TIMES = ("ttft", "tpot", "latency", "throughput")
"""Figures that a clock measures."""

COMMON = ""
"""The key of `Solver.pace` that stands for every plan that compresses at all."""

_FIELDS = {
    "ttft": "ttft_ms",
    "tpot": "tpot_ms",
    "latency": "latency_ms",
    "memory": "memory_bytes",
    "throughput": "throughput_per_s",
}
_SHIFTS = 64


class Predictor(Protocol):
    """What the solver needs of a cost model."""

    def predict(self, graph: Graph) -> Prediction:
        """The figures of a graph with its placements."""
        ...


@dataclass(frozen=True)
class Solution:
    """A decision with its counts solved.

    Attributes:
        dropped: tokens of the largest medium that are dropped in all.
        prediction: what the cost model says. violation: how far past the tightest limit, relative; held when <= 0.
        binding: the budget that is nearest to its limit, None where there is none.
    """

    decision: Decision
    placements: tuple[Placement, ...]
    dropped: int
    prediction: Prediction
    violation: float
    binding: Budget | None

    @property
    def feasible(self) -> bool:
        """Whether every budget is predicted to hold."""
        return self.violation <= 0


def figure(prediction: Prediction, name: str) -> float:
    """The figure that a budget called `name` limits: ms, bytes, or requests a second."""
    return float(getattr(prediction, _FIELDS[name]))


class Solver:
    """Solves decisions against a cost model; every prediction is cached.

    Args:
        space: where placements come from.
        cost: the cost model.
        budgets: limits that must hold; fidelity, which no cost model knows, is left out.
        margin: relative slack to aim for under limits on times.
        pace: measured over predicted time of passes by `pace_key`, and `COMMON` of all plans; a plan's are multiplied.
    """

    def __init__(
        self,
        space: Space,
        cost: Predictor,
        budgets: Sequence[Budget],
        *,
        margin: float = MARGIN,
        pace: Mapping[str, float] | None = None,
    ) -> None:
        self.space = space
        self.cost = cost
        self.budgets = tuple(budget for budget in budgets if budget.figure != "fidelity")
        self.margin = margin
        self.pace: Mapping[str, float] = pace or {}
        self._predictions: dict[tuple[object, ...], Prediction] = {}
        self._repaired: dict[Decision, Decision | None] = {}
        self._solved: dict[Decision, Solution] = {}
        self.baseline = self.predict(())

    def at_pace(self, pace: Mapping[str, float]) -> Solver:
        """The same solver with other factors of passes."""
        return Solver(self.space, self.cost, self.budgets, margin=self.margin, pace=pace)

    def within(self, budgets: Sequence[Budget], *, margin: float | None = None) -> Solver:
        """The same solver with other limits."""
        kept = self.margin if margin is None else margin
        return Solver(self.space, self.cost, budgets, margin=kept, pace=self.pace)

    def slower(self, decision: Decision) -> float:
        """Measured over predicted time that is expected of a decision; 1 where nothing was timed or nothing acts."""
        keys = [pace_key(step) for step in decision.steps]
        return math.prod(self.pace.get(key, 1.0) for key in ([COMMON, *keys] if keys else keys))

    def predict(self, placements: Sequence[Placement]) -> Prediction:
        """The cost model's figures for the model under these placements."""
        key = tuple((p.method, p.site, p.keep, p.modality) for p in placements)
        if key not in self._predictions:
            self._predictions[key] = self.cost.predict(self.resolved(placements))
        return self._predictions[key]

    def resolved(self, placements: Sequence[Placement]) -> Graph:
        """The graph with these placements made."""
        return resolve(self.space.graph, tuple(placements))

    def solution(
        self, decision: Decision, dropped: int, *, corrections: Mapping[Budget, float] | None = None
    ) -> Solution:
        """`decision` with `dropped` tokens dropped, whatever the budgets say."""
        placements = self.space.placements(decision, dropped)
        prediction = self.predict(placements)
        violation, binding = self._violation(prediction, corrections or self._expected(decision))
        return Solution(decision, placements, dropped, prediction, violation, binding)

    def solve(self, decision: Decision, *, corrections: Mapping[Budget, float] | None = None) -> Solution:
        """The solution that drops fewest tokens among those that hold every budget.

        Where none does, the one that drops most is returned, with a positive violation. The figures fall
        monotonically with the tokens dropped, so bisection takes log2(N) predictions.

        Args:
            corrections: measured over predicted value by budget, for a finalist that was timed; by default what the
                pace of its passes says.
        """
        if corrections:
            return self._bisected(decision, corrections)
        if decision not in self._solved:
            self._solved[decision] = self._bisected(decision, {})
        return self._solved[decision]

    def _bisected(self, decision: Decision, corrections: Mapping[Budget, float]) -> Solution:
        held = self.solution(decision, self.space.tokens - 1, corrections=corrections)
        low, high = -1, held.dropped
        while held.feasible and high - low > 1:
            middle = (low + high) // 2
            tried = self.solution(decision, middle, corrections=corrections)
            if tried.feasible:
                high, held = middle, tried
            else:
                low = middle
        return held

    def repaired(self, decision: Decision) -> Decision | None:
        """`decision` with as much of the dropping moved to its first step as the budgets need, None where that fails.

        The deeper a step acts, the less it saves, so the more must go before it.
        """
        if decision not in self._repaired:
            self._repaired[decision] = self._repair(decision)
        return self._repaired[decision]

    def able(self, decision: Decision) -> Decision | None:
        """`decision`, repaired where it must be; None where a rule forbids it or it cannot hold the budgets."""
        repaired = self.repaired(decision) if self.space.allowed(decision) else None
        return repaired if repaired is not None and self.solve(repaired).feasible else None

    def _repair(self, decision: Decision) -> Decision | None:
        low, high = 0, _SHIFTS
        if not self._reaches(_shifted(decision, high)):
            return None
        while low < high:
            middle = (low + high) // 2
            if self._reaches(_shifted(decision, middle)):
                high = middle
            else:
                low = middle + 1
        return _shifted(decision, high)

    def _reaches(self, decision: Decision) -> bool:
        return self.solution(decision, self.space.tokens - 1).feasible

    def excess(self, prediction: Prediction, budget: Budget, *, correction: float = 1.0, margin: float = 0.0) -> float:
        """How far past `budget` a prediction lies, relative to a limit tightened by `margin` where it is on time."""
        return float(self._past(budget, figure(prediction, budget.figure) * correction, margin))

    def excesses(self, predictions: Predictions, slower: FloatArray | float = 1.0) -> FloatArray:
        """How far past the tightest limit each of P plans lies, (P,), under the solver's own margin.

        Args:
            slower: (P,) what `slower` says of each.
        """
        values = ((b, getattr(predictions, _FIELDS[b.figure]) * _corrected(b, slower)) for b in self.budgets)
        found = [self._past(budget, value, self.margin) for budget, value in values]
        return np.maximum.reduce(found) if found else np.full(len(predictions.ttft_ms), -1.0)

    def _past(self, budget: Budget, value: Any, margin: float) -> Any:
        limit = budget.absolute(figure(self.baseline, budget.figure))
        tightened = margin if budget.figure in TIMES else 0.0
        return limit * (1 + tightened) / value - 1 if budget.at_least else value / (limit * (1 - tightened)) - 1

    def _expected(self, decision: Decision) -> dict[Budget, float]:
        """Measured over predicted value by budget, from the pace of the decision's passes."""
        factor = self.slower(decision)
        return {} if factor == 1 else {budget: float(_corrected(budget, factor)) for budget in self.budgets}

    def _violation(self, prediction: Prediction, corrections: Mapping[Budget, float]) -> tuple[float, Budget | None]:
        """How far past the tightest limit `prediction` lies, and which limit that is."""
        worst: tuple[float, Budget | None] = (-1.0, None)
        for budget in self.budgets:
            correction = corrections.get(budget, 1.0)
            excess = self.excess(prediction, budget, correction=correction, margin=self.margin)
            worst = (excess, budget) if excess > worst[0] else worst
        return worst


def pace_key(step: Step) -> str:
    """What `Solver.pace` calls a step: its pass and kind of site.

    >>> pace_key(Step("fastv", ("decoder.layers.2",)))
    'fastv@decoder.layer'
    """
    return f"{step.method}@{step.kind}"


def _corrected(budget: Budget, slower: Any) -> Any:
    """What the budget's figure is multiplied by where a plan takes `slower` times as long as predicted."""
    if budget.figure not in TIMES:
        return 1.0
    return 1 / slower if budget.at_least else slower


def _shifted(decision: Decision, step: int) -> Decision:
    """`decision` with step / 64 of every later share moved to the first step; 0 leaves it as it is."""
    part = step / _SHIFTS
    later = [share * (1 - part) for share in decision.shares[1:]]
    return replace(decision, shares=(1 - sum(later), *later)) if step and later else decision
