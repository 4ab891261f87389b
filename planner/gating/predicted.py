"""Predicted verdicts: by the cost model alone, without weights and on any machine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...common.errors import BadInput
from ...cost_models import CostModel, DeviceProfile, Prediction, load_profile
from ...ir.budget import Budget
from ...ir.plan import Plan
from ...ir.tracing import trace
from ...runtime import resolve
from ..search.solver import figure
from .looks import Outcome
from .verdict import Verdict

if TYPE_CHECKING:
    from ...ir.graph import Graph
    from .timing import Regression


@dataclass(frozen=True)
class Predictor:
    """Predicts plans of one model on one device.

    Attributes:
        graph: the uncompressed model under the workload of the plan. cost: the cost model.
    """

    graph: Graph
    cost: CostModel

    @classmethod
    def of(
        cls, plan: Plan, model: Any, *, device: DeviceProfile | str | None = None, dtype: str | None = None
    ) -> Predictor:
        """A predictor for `plan` on `device`, by default the one that the plan names.

        Raises:
            BadInput: there is no device.
        """
        if device is None and plan.device is None:
            raise BadInput("a predicted check needs a device, which the plan does not name; give a profile")
        profile = load_profile(device if device is not None else plan.device.name)  # type: ignore[union-attr]
        own = plan.device is not None and profile.name == plan.device.name
        usual = "bfloat16" if profile.kind == "gpu" else "float32"
        name = dtype or (plan.device.dtype if own and plan.device else usual)
        return cls(trace(model, plan.workload), CostModel(profile, dtype=name))

    def predict(self, plan: Plan | None) -> Prediction:
        """Figures of a plan, or of the uncompressed model."""
        return self.cost.predict(self.graph if plan is None else resolve(self.graph, plan))

    def verdicts(
        self, plan: Plan, budgets: Sequence[Budget], *, baseline: Plan | None, regressions: Sequence[Regression]
    ) -> list[Verdict]:
        """Verdicts on budgets and regressions, and on whether the device's memory holds the plan."""
        base, value = self.predict(None), self.predict(plan)
        found = [prediction(item, figure(value, item.figure), figure(base, item.figure)) for item in budgets]
        capacity = self.cost.profile.memory_bytes
        if capacity and not any(item.figure == "memory" for item in budgets):
            limit = math.floor(capacity / 2**30 * 100) / 100 * 2**30 or float(capacity)  # in hundredths of a GiB
            found.append(prediction(Budget("memory", limit), value.memory_bytes, base.memory_bytes))
        if regressions and baseline is not None:
            other = self.predict(baseline)
            found += [
                worsening(limit, figure(value, limit.figure), figure(other, limit.figure), mode="predict")
                for limit in regressions
            ]
        return found


def prediction(budget: Budget, value: float, base: float) -> Verdict:
    """The verdict on a prediction, which repeats exactly: it is held or broken by its value alone."""
    outcome: Outcome = "held" if budget.holds(value, base) else "broken"
    ratios = (value / base,) * 3
    return Verdict(outcome, str(budget), value, budget.absolute(base), (value, value), "predict", ratios)


def worsening(limit: Regression, value: float, base: float, *, mode: str) -> Verdict:
    """The verdict on a figure known exactly beside a baseline's: broken where it is worse by more than allowed."""
    at_least = Budget(limit.figure, 1.0).at_least
    bound = base * (1 - limit.allowed if at_least else 1 + limit.allowed)
    least = 0.0 if limit.figure in ("memory", "throughput", "fidelity") else limit.least_ms
    holds = value >= bound if at_least else value <= bound or value - base <= least
    outcome: Outcome = "held" if holds else "broken"
    return Verdict(outcome, str(limit), value, bound, (value, value), mode, against=limit.against)
