"""What `foveate check` found of each plan, in words and as an exit code; one file beside this one for each format."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..common.errors import EXIT_DONE, BadInput, BudgetNotMet, Undecided
from .output import milliseconds

if TYPE_CHECKING:
    from ..planner.gating.gate import Verdict

_EXIT_CODES = {"held": EXIT_DONE, "broken": BudgetNotMet.exit_code, "undecided": Undecided.exit_code}
_HOW = {"measure": "measured", "predict": "predicted"}
_LINE = re.compile(r", line (\d+): ")


@dataclass(frozen=True)
class Checked:
    """What was found of one plan.

    Attributes:
        plan: its path. verdicts: one for each limit. seconds: what the check took.
        error: why there are no verdicts: the plan is stale, or what was asked cannot be done.
        line: of the budget in the plan file; 1 where it has none.
    """

    plan: str
    verdicts: tuple[Verdict, ...] = ()
    seconds: float = 0.0
    error: BadInput | None = None
    line: int = 1

    @property
    def worst(self) -> Verdict:
        """The worst verdict."""
        from ..planner.gating.gate import worst

        return worst(self.verdicts)

    @property
    def error_line(self) -> int:
        """The line that the error names, 1 where it names none."""
        found = _LINE.search(str(self.error))
        return int(found.group(1)) if found else 1


def exit_code(checks: Sequence[Checked]) -> int:
    """Broken before undecided before held."""
    codes = {_EXIT_CODES[item.worst.verdict] for item in checks if item.verdicts}
    return next((code for code in (BudgetNotMet.exit_code, Undecided.exit_code) if code in codes), EXIT_DONE)


def sentence(verdict: Verdict) -> str:
    """One verdict in words, without the plan's name."""
    low, high = (quantity(verdict.budget, bound) for bound in verdict.interval)
    spread = "" if low == high else f" ({low} to {high})"
    figure, limit = quantity(verdict.budget, verdict.value_ms), quantity(verdict.budget, verdict.limit_ms)
    how = _HOW.get(verdict.mode, verdict.mode)
    return f"{verdict.budget} is {verdict.verdict}: {how} {figure}{spread}, limit {limit}"


def cells(verdict: Verdict) -> tuple[str, ...]:
    """One row of a table: budget, figure, interval, limit, how it was had, verdict."""
    low, high = (quantity(verdict.budget, bound) for bound in verdict.interval)
    return (
        verdict.budget,
        quantity(verdict.budget, verdict.value_ms),
        "-" if low == high else f"{low} to {high}",
        quantity(verdict.budget, verdict.limit_ms),
        _HOW.get(verdict.mode, verdict.mode),
        verdict.verdict,
    )


def verdict_data(verdict: Verdict) -> dict[str, Any]:
    """The JSON of docs/formats.md."""
    data: dict[str, Any] = {
        "verdict": verdict.verdict,
        "budget": verdict.budget,
        "value_ms": verdict.value_ms,
        "limit_ms": verdict.limit_ms,
        "interval": list(verdict.interval),
        "mode": verdict.mode,
    }
    if verdict.ratio:
        data["ratio"] = list(verdict.ratio)
    return data | ({"against": verdict.against} if verdict.against else {})


def checks_data(checks: Sequence[Checked]) -> dict[str, Any]:
    """The JSON of docs/formats.md: the worst verdict of all, and every verdict with the plan that it is of."""
    from ..planner.gating.gate import worst

    found = [(item.plan, verdict) for item in checks for verdict in item.verdicts]
    failures = [{"plan": item.plan, "error": str(item.error)} for item in checks if item.error is not None]
    data = verdict_data(worst([verdict for _, verdict in found])) if found else {}
    data["checks"] = [{"plan": plan, **verdict_data(verdict)} for plan, verdict in found]
    return data | ({"errors": failures} if failures else {})


def quantity(budget: str, value: float) -> str:
    """A figure of the budget with its unit.

    >>> quantity("ttft<=60%", 12.34), quantity("memory<=2GiB", 2**30), quantity("fidelity>=0.9", 0.95)
    ('12.3 ms', '1.00 GiB', '0.950')
    """
    if budget.startswith("memory"):
        return f"{value / 2**30:.2f} GiB" if value >= 2**30 else f"{value / 2**20:.1f} MiB"
    if budget.startswith("throughput"):
        return f"{value:.1f}/s"
    return f"{value:.3f}" if budget.startswith("fidelity") else f"{milliseconds(value)} ms"
