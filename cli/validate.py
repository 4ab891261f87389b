"""`foveate validate`: whether a plan file says what foveate can do, alone or on a given model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..common.errors import BadInput
from .models import traced
from .options import ModelOption, PlanArgument, WorkloadOption
from .output import say
from .own_methods import takes_methods

if TYPE_CHECKING:
    from ..common.yaml_lines import Located
    from ..ir.plan import Plan

EXAMPLE = "foveate validate examples/hand_written.yaml --model testbed"


@takes_methods
def validate(plan: PlanArgument, *, model: ModelOption = None, workload: WorkloadOption = None) -> None:
    """Check what a plan file says, alone or for a model."""
    found = checked(plan)
    if model is None:
        say(f"{plan} is a valid plan: {summary(found)}.")
        return
    from ..runtime import resolve

    graph = traced(model, workload or (str(found.workload) if found.workload else None))
    placed = resolve(graph, found).placed
    counts = "; ".join(f"{p.placement.label()}: {p.tokens_in} to {p.tokens_out} tokens" for p in placed)
    say(f"{plan} is a valid plan for {graph.model}: {counts or 'no placements, nothing is compressed'}.")


def checked(path: Path) -> Plan:
    """The plan at `path`, every pass, parameter and site of it known.

    Raises:
        BadInput: one sentence with the file, the line and how to mend it.
    """
    from ..common.yaml_lines import load as load_yaml
    from ..ir.plan import load

    plan = load(path)
    located = load_yaml(path)
    for index, placement in enumerate(plan.placements):
        try:
            _check_placement(placement.method, placement.site, dict(placement.params))
        except BadInput as error:
            raise located.error(_place(located, index, str(error)), str(error)) from error
    return plan


def summary(plan: Plan) -> str:
    """The placements in one line."""
    return ", ".join(placement.label() for placement in plan.placements) or "no placements, nothing is compressed"


def _check_placement(method: str, site: str, params: dict[str, object]) -> None:
    from ..ir.site import Site
    from ..passes import REGISTRY, create

    cls = REGISTRY.get(method)
    if Site.parse(site).kind not in cls.sites:
        raise BadInput(f"{method} cannot act at {site}; it acts at sites of the kinds {', '.join(cls.sites)}")
    create(method, params)


def _place(located: Located, index: int, message: str) -> tuple[str | int, ...]:
    """The key that the complaint is about, so that its line is named."""
    for key, sign in (("params", "parameter"), ("site", "cannot act at"), ("pass", "pass")):
        if sign in message and ("placements", index, key) in located.lines:
            return ("placements", index, key)
    return ("placements", index)
