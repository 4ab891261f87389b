"""Measured verdicts: the plan, the uncompressed model and a baseline plan timed in the same interleaved rounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...common.errors import BadInput
from ...common.timing import FloatArray, Interval, median_interval, ratio_interval
from ...ir.budget import Budget
from ...ir.plan import Plan
from ...runtime import compare
from .looks import Looks, decide, until_decided
from .verdict import Verdict

if TYPE_CHECKING:
    from ...runtime import Figures

PLAIN, PLAN, BASELINE = "plain", "plan", "baseline"


@dataclass(frozen=True)
class Times:
    """What one contestant took: (rounds,) ms of the prefill and of one later token (may be empty), and peak bytes."""

    ttft: FloatArray
    tpot: FloatArray
    peak_bytes: int

    @classmethod
    def of(cls, figures: Figures) -> Times:
        """The samples of a measurement."""
        return cls(figures.ttft_samples, figures.tpot_samples, figures.peak_bytes)

    def then(self, later: Times) -> Times:
        """These rounds and `later` ones."""
        joined = np.concatenate([self.ttft, later.ttft]), np.concatenate([self.tpot, later.tpot])
        return Times(*joined, max(self.peak_bytes, later.peak_bytes))

    def samples(self, figure: str, new_tokens: int) -> FloatArray:
        """The figure in each round.

        Raises:
            BadInput: it was not timed.
        """
        if figure == "ttft":
            return self.ttft
        if figure in ("tpot", "latency") and self.tpot.size:
            return self.tpot if figure == "tpot" else self.ttft + (new_tokens - 1) * self.tpot
        if figure == "memory":
            return np.full(1, float(self.peak_bytes))
        raise BadInput(f"{figure} cannot be measured here; predict it, without --measure (mode predict)")


@dataclass(frozen=True)
class Regression:
    """The most that a figure may be worse than a baseline's.

    Attributes:
        figure: the figure. allowed: the part by which it may be worse, 0.05 for 5 %. least_ms: a difference below this
            is no regression, however large a part it is. against: the baseline's name.
    """

    figure: str
    allowed: float
    least_ms: float = 0.0
    against: str = "baseline"

    def __str__(self) -> str:
        return f"{self.figure}<={100 * (1 + self.allowed):g}% of {self.against}"


def judge_timing(budget: Budget, value: Times, plain: Times, *, new_tokens: int, confidence: float = 0.95) -> Verdict:
    """The verdict on a measured figure.

    A relative limit is checked on the ratio paired by round and given back in ms of the median uncompressed time.

    Raises:
        BadInput: a figure that was not timed.
    """
    mine, base = value.samples(budget.figure, new_tokens), plain.samples(budget.figure, new_tokens)
    ratio = ratio_interval(mine, base, confidence=confidence)
    found = median_interval(mine, confidence=confidence)
    limit = budget.absolute(float(np.median(base)))
    outcome = decide(found.low, found.high, limit)
    if budget.relative:
        outcome = decide(ratio.low, ratio.high, budget.limit)
        found = _scaled(ratio, float(np.median(base)))
    return Verdict(outcome, str(budget), found.median, limit, (found.low, found.high), "measure", tuple(ratio))


def judge_regression(
    limit: Regression, value: Times, baseline: Times, *, new_tokens: int, confidence: float = 0.95
) -> Verdict:
    """The verdict on a figure beside a baseline plan's of the same rounds."""
    mine, base = value.samples(limit.figure, new_tokens), baseline.samples(limit.figure, new_tokens)
    ratio, scale = ratio_interval(mine, base, confidence=confidence), float(np.median(base))
    outcome = decide(ratio.low, ratio.high, 1 + limit.allowed)
    found, bound = _scaled(ratio, scale), scale * (1 + limit.allowed)
    if found.high - scale <= limit.least_ms:
        outcome, bound = "held", max(bound, scale + limit.least_ms)
    return Verdict(outcome, str(limit), found.median, bound, (found.low, found.high), "measure", against=limit.against)


def measured(
    plan: Plan,
    model: Any,
    inputs: Mapping[str, Any],
    *,
    budgets: Sequence[Budget],
    looks: Looks,
    baseline: Plan | None = None,
    regressions: Sequence[Regression] = (),
) -> list[Verdict]:
    """Verdicts on `budgets`, and on `regressions` against the plan `baseline`, from rounds added until decided."""
    new_tokens = max(2, plan.workload.new_tokens if plan.workload else 2)
    timed = {item.figure for item in budgets} | {item.figure for item in regressions}
    decodes = timed & {"tpot", "latency"}
    contestants = {PLAIN: None, PLAN: plan} | ({BASELINE: baseline} if regressions else {})
    taken: dict[str, Times] = {}

    def take(rounds: int) -> None:
        found = compare(model, inputs, contestants, rounds=rounds, new_tokens=new_tokens if decodes else 0)
        for name in contestants:
            times = Times.of(found[name])
            taken[name] = taken[name].then(times) if name in taken else times

    def judge(confidence: float) -> list[Verdict]:
        shared: dict[str, Any] = {"new_tokens": new_tokens, "confidence": confidence}
        found = [judge_timing(item, taken[PLAN], taken[PLAIN], **shared) for item in budgets]
        return found + [judge_regression(item, taken[PLAN], taken[BASELINE], **shared) for item in regressions]

    return list(until_decided(take, judge, looks))


def _scaled(interval: Interval, scale: float) -> Interval:
    return Interval(*(scale * bound for bound in interval))
