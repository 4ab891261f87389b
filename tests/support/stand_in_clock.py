"""A clock that needs no model: plans take what a cost model predicts, times what the test says it gets wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from foveate.ir.plan import Plan
from foveate.planner.search.solver import Solver
from foveate.runtime import Figures


def exact(_: Plan | None) -> float:
    """Nothing is wrong."""
    return 1.0


@dataclass
class StandInClock:
    """In the place of `runtime.compare`.

    Attributes:
        solver: whose predictions count. slower: true over predicted times of a plan, None being the uncompressed model.
        heavier: true over predicted bytes. noise: relative deviation of each of so many rounds, none by default.
        calls: how many plans were timed in each call.
    """

    solver: Solver
    slower: Callable[[Plan | None], float] = exact
    heavier: float = 1.0
    noise: Callable[[int], Any] = np.ones
    calls: list[int] = field(default_factory=list)

    def compare(
        self, _: Any, __: Any, plans: Mapping[str, Plan | None], *, rounds: int = 5, **___: Any
    ) -> dict[str, Figures]:
        """Figures by name, the same TTFT in every round but for the noise."""
        self.calls.append(len(plans))
        return {name: self._figures(plan, rounds) for name, plan in plans.items()}

    def _figures(self, plan: Plan | None, rounds: int) -> Figures:
        predicted, factor = self.solver.predict(plan.placements if plan else ()), self.slower(plan)
        samples = factor * predicted.ttft_ms * self.noise(rounds)
        tpot = np.full(rounds, factor * predicted.tpot_ms)
        return Figures.of(samples, tpot, kv_bytes=0, peak_bytes=round(self.heavier * predicted.memory_bytes))
