"""`foveate check`: the gate for CI: does a plan still hold its budget?"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ..common.files import read_text, write_whole
from .checking import Request, baseline_of, check_file
from .options import MODEL_HELP, DeviceOption, WorkloadOption
from .output import Justify, print_json, print_table, say
from .own_methods import takes_methods
from .verdict_annotations import github
from .verdict_junit import junit
from .verdict_markdown import markdown
from .verdicts import Checked, cells, checks_data, exit_code, sentence

EXAMPLE = 'foveate check plan.yaml --model testbed --budget "ttft<=60%" --measure'
_COLUMNS: dict[str, Justify] = {
    "plan": "left",
    "budget": "left",
    "figure": "right",
    "interval": "right",
    "limit": "right",
    "how": "left",
    "verdict": "left",
}


class VerdictFormat(StrEnum):
    """How `foveate check` prints what it found."""

    TABLE = "table"
    JSON = "json"
    JUNIT = "junit"
    GITHUB = "github"
    MARKDOWN = "markdown"


@takes_methods
def check(
    plans: Annotated[list[Path], typer.Argument(metavar="PLAN...", help="Plan files (YAML).", show_default=False)],
    *,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="MODEL", help=f"{MODEL_HELP}; default: the plan's.", show_default=False),
    ] = None,
    budget: Annotated[
        list[str] | None,
        typer.Option("--budget", metavar="BUDGET", help="Repeatable; default: the plan's own.", show_default=False),
    ] = None,
    measure: Annotated[bool, typer.Option("--measure", help="Time the live model instead of predicting.")] = False,
    device: DeviceOption = None,
    dtype: Annotated[str | None, typer.Option("--dtype", help="Of a predicted check; default: the plan's.")] = None,
    rounds: Annotated[int, typer.Option("--rounds", min=3, help="Timed rounds of the first look with --measure.")] = 21,
    workload: WorkloadOption = None,
    baseline: Annotated[
        Path | None,
        typer.Option("--baseline", metavar="FILE", help="Another plan, or a check's JSON.", show_default=False),
    ] = None,
    max_regression: Annotated[
        str, typer.Option("--max-regression", metavar="PERCENT", help="The most a figure may be worse than --baseline.")
    ] = "5%",
    min_delta: Annotated[
        float, typer.Option("--min-delta", min=0, help="Differences below this many ms are no regression.")
    ] = 0.1,
    format: Annotated[VerdictFormat, typer.Option("--format", help="How to print the result.")] = VerdictFormat.TABLE,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write JSON here.", show_default=False)] = None,
    junit_file: Annotated[
        Path | None, typer.Option("--junit", help="Also write JUnit XML here.", show_default=False)
    ] = None,
    summary: Annotated[
        Path | None, typer.Option("--summary", help="Also append Markdown to this file.", show_default=False)
    ] = None,
) -> None:
    """Check that plans still fit their model and hold their budgets.

    Exits 0 where all is held, 1 where a budget is broken, 2 where a plan does not fit, 3 where noise leaves a budget
    undecided.
    """
    other = None if baseline is None else baseline_of(baseline, max_regression, min_delta)
    asked = Request(model, budget, measure, device, dtype, rounds, workload, other)
    found = [check_file(path, asked) for path in plans]
    for file, text in ((json_file, _json), (junit_file, junit)):
        if file is not None:
            write_whole(file, text(found))
    if summary is not None:
        write_whole(summary, (read_text(summary) if summary.exists() else "") + markdown(found))
    _PRINTERS[format](found)
    for item in found:
        if item.error is not None:
            raise item.error
    raise typer.Exit(exit_code(found))


def _json(found: Sequence[Checked]) -> str:
    return json.dumps(checks_data(found), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _print_table(found: Sequence[Checked]) -> None:
    """One sentence for one limit, a table for several."""
    rows = [(Path(item.plan).name, *cells(verdict)) for item in found for verdict in item.verdicts]
    if len(rows) == 1:
        only = next(item for item in found if item.verdicts)
        say(f"{rows[0][0]}: {sentence(only.verdicts[0])}.")
    elif rows:
        print_table(_COLUMNS, rows)


_PRINTERS: dict[VerdictFormat, Callable[[Sequence[Checked]], object]] = {
    VerdictFormat.TABLE: _print_table,
    VerdictFormat.JSON: lambda found: print_json(checks_data(found)),
    VerdictFormat.JUNIT: lambda found: sys.stdout.write(junit(found)),
    VerdictFormat.GITHUB: lambda found: sys.stdout.write(github(found)),
    VerdictFormat.MARKDOWN: lambda found: sys.stdout.write(markdown(found)),
}
