"""Baselines: what a plan may not be much worse than; a recorded check, or another plan that is judged beside it."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ...common.errors import BadInput
from ...common.files import read_text
from ...ir.plan import Plan, load
from .looks import Outcome, decide
from .predicted import worsening
from .timing import Regression
from .verdict import Verdict

_MEND = "give a plan (YAML), or what `foveate check --format json` printed on the main branch"


class _Entry(BaseModel):
    """One verdict of a recorded check."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    verdict: Outcome
    budget: str
    value_ms: float
    mode: str
    ratio: list[float] = Field(default_factory=list, max_length=3)
    against: str = ""


class _Record(_Entry):
    """A recorded check: its worst verdict, and all of them."""

    checks: list[_Entry] = Field(default_factory=list)


@dataclass(frozen=True)
class Baseline:
    """What the plan is compared with: `plan`, judged beside it, or the verdicts of an earlier check.

    Attributes:
        name: of the file. allowed: the part by which the plan may be worse. least_ms: see `Regression`.
    """

    name: str
    plan: Plan | None
    recorded: tuple[Verdict, ...] = ()
    allowed: float = 0.05
    least_ms: float = 0.1

    def regressions(self, figures: Iterable[str]) -> tuple[Regression, ...]:
        """The limits beside a baseline plan, one for each of `figures`; TTFT where there are none."""
        if self.plan is None:
            return ()
        wanted = dict.fromkeys(f for f in figures if f not in ("fidelity", "throughput"))
        return tuple(Regression(name, self.allowed, self.least_ms, self.name) for name in wanted or ("ttft",))

    def judge(self, verdicts: Sequence[Verdict]) -> list[Verdict]:
        """Verdicts of an earlier check beside those of this one, for the figures that both have.

        Measured times of two runs may be from two machines, so they are compared by their ratios to the uncompressed
        model; what each run is unsure of adds up (in quadrature, of the logarithms).

        Raises:
            BadInput: the two have no figure in common.
        """
        earlier = {(item.figure, item.mode): item for item in self.recorded}
        pairs = [(v, earlier[v.figure, v.mode]) for v in verdicts if (v.figure, v.mode) in earlier]
        if self.plan is None and not pairs:
            raise BadInput(f"{self.name} has no figure in common with this check; check the same budgets the same way")
        return [self._beside(now, then) for now, then in pairs]

    def _beside(self, now: Verdict, then: Verdict) -> Verdict:
        limit = Regression(now.figure, self.allowed, self.least_ms, self.name)
        if now.mode != "measure" or len(now.ratio) < 3 or len(then.ratio) < 3:
            return worsening(limit, now.value_ms, then.value_ms, mode=now.mode)
        change, low, high = _quotient(now.ratio, then.ratio)
        base = now.value_ms / change
        outcome: Outcome = decide(low, high, 1 + self.allowed)
        if base * (high - 1) <= self.least_ms and now.figure != "memory":
            outcome = "held"
        bounds = (base * low, base * high)
        return Verdict(
            outcome, str(limit), now.value_ms, base * (1 + self.allowed), bounds, now.mode, against=self.name
        )


def read_baseline(path: str | os.PathLike[str], *, allowed: float = 0.05, least_ms: float = 0.1) -> Baseline:
    """The baseline in a file: a plan (`.yaml`, `.yml`), or the JSON of an earlier check.

    Raises:
        BadInput: no such file, or it is neither.
    """
    source = Path(path)
    if source.suffix in (".yaml", ".yml"):
        return Baseline(source.name, load(source), allowed=allowed, least_ms=least_ms)
    try:
        record = _Record.model_validate_json(read_text(source))
    except ValidationError as error:
        raise BadInput(f"{source} is no record of a check; {_MEND}") from error
    entries = [_verdict(entry) for entry in record.checks or [record] if not entry.against]
    return Baseline(source.name, None, tuple(entries), allowed=allowed, least_ms=least_ms)


def _verdict(entry: _Entry) -> Verdict:
    value = entry.value_ms
    return Verdict(entry.verdict, entry.budget, value, math.nan, (value, value), entry.mode, tuple(entry.ratio))


def _quotient(now: Sequence[float], then: Sequence[float]) -> tuple[float, float, float]:
    """The quotient of two figures and its bounds, from their medians and bounds.

    >>> [round(bound, 3) for bound in _quotient((0.6, 0.6, 0.6), (0.5, 0.5, 0.5))]
    [1.2, 1.2, 1.2]
    """
    middle = now[0] / then[0]
    below = math.hypot(math.log(now[0] / now[1]), math.log(then[2] / then[0]))
    above = math.hypot(math.log(now[2] / now[0]), math.log(then[0] / then[1]))
    return middle, middle * math.exp(-below), middle * math.exp(above)
