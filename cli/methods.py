"""`foveate methods`: the compression passes that a plan can name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import FormatOption
from .output import OutputFormat, print_json, print_table, say

if TYPE_CHECKING:
    from ..passes import Pass

EXAMPLE = "foveate methods fastv"


def methods(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Only this one, with its parameters.")] = None,
    *,
    format: FormatOption = OutputFormat.TABLE,
) -> None:
    """List the compression passes that a plan can name."""
    from ..passes import REGISTRY

    found = [REGISTRY.get(name)] if name else list(REGISTRY.items().values())
    described = [describe(cls) for cls in found]
    if format is OutputFormat.JSON:
        print_json(described)
    elif name:
        _print_one(described[0])
    else:
        _print_all(described)


def describe(cls: type[Pass]) -> dict[str, Any]:
    """The row of `cls` in the JSON of docs/formats.md."""
    return {
        "name": cls.name,
        "catalog_id": cls.catalog_id,
        "mechanism": cls.mechanism,
        "modalities": list(cls.modalities),
        "sites": list(cls.sites),
        "needs": _needs(cls),
        "consumes": list(cls.consumes),
        "query_aware": cls.query_aware,
        "training": cls.training,
        "source": cls.source,
        "params": dict(cls.parameters()),
        "summary": cls.summary,
    }


def _needs(cls: type[Pass]) -> list[str]:
    """The signals that it reads with its defaults, such as `encoder attention_row cls`."""
    from ..ir.layout import Layout

    return [f"{need.stage} {need.signal} {need.query}" for need in cls().needs(Layout.image(24, 24, prefix=1))]


def _print_all(described: list[dict[str, Any]]) -> None:
    columns = ("name", "mechanism", "sites", "source", "summary")
    rows = [[_cell(row[column]) for column in columns] for row in described]
    print_table(dict.fromkeys(columns, "left"), rows)


def _print_one(row: dict[str, Any]) -> None:
    say(f"{row['name']}: {row['summary']}", style="bold")
    print_table({"": "left", " ": "left"}, [[key, _cell(value)] for key, value in row.items() if key != "summary"])


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key}={item}" for key, item in value.items()) or "-"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return "-" if value is None else str(value)
