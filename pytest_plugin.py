"""The pytest marker `latency_budget`: a test that fails where a plan breaks its budget.

    @pytest.mark.latency_budget("llava.plan.yaml", "ttft<=60%", model="testbed")
    def test_the_plan_holds() -> None: ...

The arguments are a plan file, relative to the test's own, and budgets (none: the plan's). Keywords: `model`, `device`,
`dtype`, `workload`, `rounds`, `measure=True` to time the live model, `baseline`, `max_regression`, `min_delta`, all as
in `foveate check`. A broken budget or a plan that no longer fits fails the test before its body runs; an undecided one
skips it, with the figures as the reason.

pytest loads this module wherever foveate is installed, so it imports nothing of foveate until a marked test runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .cli.verdicts import Checked

_MARKER = "latency_budget(plan, *budgets, model=None, measure=False, ...): fail where the plan breaks its budget"


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", _MARKER)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Check the plans of a marked test before its body runs."""
    for marker in item.iter_markers("latency_budget"):
        _judge(item, _found(item, *marker.args, **marker.kwargs))


def _found(item: pytest.Item, plan: str, *budgets: str, **options: Any) -> Checked:
    from .cli.checking import Request, baseline_of, check_file

    folder = item.path.parent
    regression = {name: options.pop(name) for name in ("max_regression", "min_delta") if name in options}
    if options.get("baseline") is not None:
        options["baseline"] = baseline_of(folder / options["baseline"], **regression)
    return check_file(Path(folder / plan), Request(budget=list(budgets) or None, **options))


def _judge(item: pytest.Item, found: Checked) -> None:
    from .cli.verdicts import sentence

    if found.error is not None:
        pytest.fail(str(found.error), pytrace=False)
    item.user_properties += [(verdict.budget, sentence(verdict)) for verdict in found.verdicts]
    told = "; ".join(sentence(verdict) for verdict in found.verdicts if verdict.verdict == found.worst.verdict)
    if found.worst.verdict == "broken":
        pytest.fail(f"{Path(found.plan).name}: {told}", pytrace=False)
    if found.worst.verdict == "undecided":
        pytest.skip(f"{Path(found.plan).name}: {told}")
