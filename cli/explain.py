"""`foveate explain`: why a plan is what it is."""

from __future__ import annotations

from .options import PlanArgument
from .output import say
from .validate import checked

EXAMPLE = "foveate explain plan.yaml"


def explain(plan: PlanArgument) -> None:
    """Tell why a plan is what it is."""
    from ..planner import explain as explanation

    say(explanation(checked(plan)))
