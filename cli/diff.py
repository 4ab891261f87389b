"""`foveate diff`: what two plans do differently."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import FormatOption
from .output import OutputFormat, print_json, print_table, say
from .validate import checked

if TYPE_CHECKING:
    from ..ir.placement import Placement
    from ..planner.explaining.diff import FigureChange, PlacementChange, PlanDiff

EXAMPLE = "foveate diff a.yaml b.yaml"


def diff(
    first: Annotated[Path, typer.Argument(metavar="PLAN", help="A plan file (YAML).", show_default=False)],
    second: Annotated[Path, typer.Argument(metavar="PLAN", help="Another one.", show_default=False)],
    *,
    format: FormatOption = OutputFormat.TABLE,
) -> None:
    """Show what two plans do differently: placements, counts, times, fidelity."""
    from ..planner.explaining.diff import diff as compare

    found = compare(checked(first), checked(second))
    if format is OutputFormat.JSON:
        print_json(diff_data(found))
    else:
        print_diff(found, str(first), str(second))


def diff_data(found: PlanDiff) -> dict[str, Any]:
    """The JSON of docs/formats.md."""
    return {
        "same": found.same,
        "settings": [vars(setting) for setting in found.settings],
        "placements": [
            {"change": item.change, "first": _placement_data(item.first), "second": _placement_data(item.second)}
            for item in found.placements
        ],
        "figures": [{**vars(figure), "difference": figure.difference} for figure in found.figures],
    }


def print_diff(found: PlanDiff, first: str, second: str) -> None:
    """Print settings and placements as sentences, figures as a table."""
    if found.same:
        say(f"{first} and {second} say the same.")
        return
    for setting in found.settings:
        one, other = setting.first or "not stated", setting.second or "not stated"
        say(f"{setting.name}: {one} in {first}, {other} in {second}.")
    for item in found.placements:
        say(_sentence(item, first, second))
    if found.figures:
        rows = [[f"{f.name} ({f.kind})", *_cells(f)] for f in found.figures]
        print_table({"figure": "left", first: "right", second: "right", "difference": "right"}, rows)


def _sentence(item: PlacementChange, first: str, second: str) -> str:
    if item.first is not None and item.second is not None:
        place = f"{item.first.method}@{item.first.site}"
        return f"{place}: {_counts(item.first)} in {first}, {_counts(item.second)} in {second}."
    alone, where = (item.first, first) if item.first is not None else (item.second, second)
    return f"Only {where}: {'' if alone is None else f'{alone.method}@{alone.site}, {_counts(alone)}'}."


def _counts(placement: Placement) -> str:
    params = "".join(f", {name}={value}" for name, value in placement.params.items())
    if placement.tokens_in is None or placement.tokens_out is None:
        return f"keep {placement.keep:g}{params}"
    return f"{placement.tokens_out} of {placement.tokens_in} tokens{params}"


def _cells(figure: FigureChange) -> list[str]:
    values = (figure.first, figure.second, figure.difference)
    return ["-" if value is None else f"{value:.5g}" for value in values]


def _placement_data(placement: Placement | None) -> dict[str, Any] | None:
    if placement is None:
        return None
    data = {**vars(placement), "params": dict(placement.params)}
    return {"pass": data.pop("method"), **data}
