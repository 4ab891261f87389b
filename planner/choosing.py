"""Finalists and their values on held-out samples, and which of them becomes the plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .fidelity.fidelity import Fidelity, FloatArray, likely_ahead
from .search.decision import Decision
from .search.solver import Solution
from .verify import Finalist


@dataclass(frozen=True)
class Choice:
    """A finalist and its value on held-out samples."""

    finalist: Finalist
    fidelity: Fidelity

    @property
    def solution(self) -> Solution:
        """The finalist's counts."""
        return self.finalist.solution

    @property
    def ttft_ms(self) -> float:
        """Measured where it was timed, else predicted."""
        timing = self.finalist.timing
        return self.solution.prediction.ttft_ms if timing is None else timing.plan.ttft_ms


def best_choice(choices: Sequence[Choice], searched: Mapping[Decision, FloatArray] | None = None) -> Choice:
    """The choice of highest score; several passes must be likely better than the best single one, or that one is taken.

    Of several finalists the luckiest looks best, and surveys find naive combinations no better than their best member;
    so a combination must lead by more than the standard error of its lead, and on held-out samples: on the search's own
    it is one of many that were tried there, of which the luckiest was kept.

    Args:
        searched: by decision, its value on each of the search's samples, which help to rank where all are known.
    """
    known = searched if searched and all(c.solution.decision in searched for c in choices) else {}

    def rank(choice: Choice) -> tuple[float, float]:
        values = np.append(choice.fidelity.per_sample, known.get(choice.solution.decision, ()))
        return float(values.mean()), -choice.solution.prediction.ttft_ms

    single = max((c for c in choices if c.solution.decision.is_single), key=rank, default=None)
    if single is None:
        return max(choices, key=rank)
    alone = single.fidelity.per_sample
    return max((c for c in choices if likely_ahead(c.fidelity.per_sample - alone)), key=rank, default=single)
