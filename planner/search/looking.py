"""Looks at a plan on part of the samples."""

from __future__ import annotations

from ...ir.plan import Plan
from ..fidelity.fidelity import Fidelity
from ..fidelity.judge import Judge


def look(judge: Judge, plan: Plan, *, looks: int = 1) -> Fidelity | None:
    """The value on the judge's first samples, or on more of them with a second look; on all where it looks but once."""
    seen: list[Fidelity] = []

    def enough(found: Fidelity) -> bool:
        seen.append(found)
        return len(seen) == looks

    found = judge.judge(plan, give_up=enough)
    return seen[-1] if found is None and seen else found
