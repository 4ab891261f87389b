"""What `foveate plan` says of the plan that it wrote."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .output import percent, program, say
from .validate import summary
from .verdicts import quantity

if TYPE_CHECKING:
    from ..ir.plan import Plan
    from ..ir.plan_schema import FidelityRecord
    from ..planner.shortfall import Shortfall


def fidelity_sentence(found: FidelityRecord) -> str:
    """How faithful the plan is, and how that is known."""
    if found.kind != "prior":
        return f"Fidelity ({found.kind}) {found.value:.3f} over {found.samples} samples."
    low, high = found.interval
    sentence = f"Fidelity is a prior, nothing was run: {found.value:.3f} ({low:.3f} to {high:.3f})"
    error = "" if found.error is None else f", leave-one-source-out error {found.error:.3f}"
    return f"{sentence}, from {found.samples} published rows{error}; {found.note}."


def report_plan(found: Plan, output: Path) -> None:
    """Say what the plan is, what was predicted and measured, and what to try next."""
    say(f"Wrote {output}: {summary(found)}.")
    if found.predicted is not None and found.predicted.baseline_ttft_ms:
        before, after = found.predicted.baseline_ttft_ms, found.predicted.ttft_ms
        say(f"Predicted TTFT {after:.1f} ms, {percent(after / before)} of {before:.1f} ms.")
    if found.measured is not None:
        low, high = found.measured.interval
        spread = f"{percent(low)} to {percent(high)}, n = {found.measured.n}"
        say(f"Measured TTFT {found.measured.ttft_ms:.1f} ms, {percent(found.measured.ratio)} ({spread}).")
    if found.fidelity is not None:
        say(fidelity_sentence(found.fidelity))
    say(f"Try next: {program()} explain {output}")


def missed_sentence(found: Plan, output: Path) -> str | None:
    """What the plan misses of its budget and by how much, None where it holds."""
    from ..planner.shortfall import shortfalls

    missed = [_missed(item) for item in shortfalls(found)]
    if not missed:
        return None
    return f"the budget is missed: {'; '.join(missed)}; {output} holds the nearest plan, so loosen what it misses."


def _missed(item: Shortfall) -> str:
    value = percent(item.value) if item.budget.relative else quantity(str(item.budget), item.value)
    far = percent(item.excess) if item.excess >= 1e-3 else f"{100 * item.excess:.2g} %"
    return f"{item.budget} by {far} ({item.kind} {value})"
