"""A race on held-out samples: a plan that is clearly behind the best one so far is not measured to the end."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..ir.plan import Plan
from .fidelity.fidelity import Fidelity, FloatArray, likely_ahead
from .fidelity.judge import Judge

CLEARLY = 2.0
"""Standard errors, paired by sample, by which a plan must trail at a look to be given up."""


@dataclass
class Race:
    """Plans judged one after the other, each looked at on a part of the samples beside the best before it.

    The likely best should come first. One that is given up had no chance to be chosen: what is chosen instead of the
    best is never further behind than the standard error of its lead.

    Example:
        race = Race(judge)
        values = [race.run(plan) for plan in plans]   # None: given up
    """

    judge: Judge
    _best: list[FloatArray] = field(default_factory=list)

    def run(self, plan: Plan) -> Fidelity | None:
        """The plan's value on all samples, None where it fell behind at a look."""
        looks: list[FloatArray] = []

        def give_up(seen: Fidelity) -> bool:
            looks.append(seen.per_sample)
            return len(self._best) >= len(looks) and likely_ahead(self._best[len(looks) - 1] - looks[-1], by=CLEARLY)

        found = self.judge.judge(plan, give_up=give_up)
        if found is not None:
            looks.append(found.per_sample)
            if not self._best or found.score > float(self._best[-1].mean()):
                self._best = looks
        return found
