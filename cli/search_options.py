"""Options of `foveate plan` that say how it searches; they matter where a live model is measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_PANEL = "Search"

TrialsOption = Annotated[int, typer.Option("--trials", min=1, help="Candidates to measure.", rich_help_panel=_PANEL)]
SeedOption = Annotated[int, typer.Option("--seed", help="Seed of the search.", rich_help_panel=_PANEL)]
SamplerOption = Annotated[
    str, typer.Option("--sampler", metavar="NAME", help="tpe, nsga2 or random.", rich_help_panel=_PANEL)
]
StudyOption = Annotated[
    str | None,
    typer.Option(
        "--study",
        metavar="FILE|URL",
        help="Keep the search in this SQLite file or database, and go on with it.",
        rich_help_panel=_PANEL,
    ),
]
SensitivityOption = Annotated[
    Path | None,
    typer.Option(
        "--sensitivity",
        metavar="FILE",
        help="Keep what single passes lose alone in this file, for searches with other budgets.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
JoinOption = Annotated[bool, typer.Option("--join", help="Be one more worker of that study.", rich_help_panel=_PANEL)]
MeasureOption = Annotated[
    bool,
    typer.Option(
        "--measure/--no-measure",
        help="Time finalists on this machine; without, times are predicted, as for a device that is elsewhere.",
        rich_help_panel=_PANEL,
    ),
]
MetricOption = Annotated[
    str | None,
    typer.Option(
        "--metric",
        metavar="NAME",
        help="Judge by the answers in the calibration file instead of fidelity: exact, or words (1 - WER).",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
