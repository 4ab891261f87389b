"""`foveate methods`: the compression passes that a plan can name."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..common.errors import BadInput
from .options import FormatOption
from .output import OutputFormat, print_json, print_table, say
from .own_methods import own_methods, takes_methods

if TYPE_CHECKING:
    from ..passes import Pass

EXAMPLE = "foveate methods fastv"


@takes_methods
def methods(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Explain this one, with its parameters.")] = None,
    *,
    check: Annotated[
        Path | None,
        typer.Option("--check", metavar="FILE", help="Run a file's passes through the contract.", show_default=False),
    ] = None,
    format: FormatOption = OutputFormat.TABLE,
) -> None:
    """List the compression passes that a plan can name, explain one, or check your own.

    With --check, each pass that the file registers is run through every promise of docs/contract.md; exits 2 where one
    is broken.
    """
    from ..passes import REGISTRY

    if check is not None:
        _check(check)
        return
    found = [REGISTRY.get(name)] if name else list(REGISTRY.items().values())
    described = [describe(cls) for cls in found]
    if format is OutputFormat.JSON:
        print_json(described)
    elif name:
        _print_one(described[0], explanation(found[0]))
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


def explanation(cls: type[Pass]) -> str:
    """What the pass says of itself, paragraph by paragraph."""
    return inspect.cleandoc(cls.__doc__ or "")


def _check(path: Path) -> None:
    """Run the passes of a file through the contract, and say of each that it holds.

    Raises:
        BadInput: the file cannot be used, or a promise is broken; the sentence says which and where.
    """
    from ..passes.contract import check_pass, checks_of

    with own_methods(path) as passes:
        for cls in passes:
            try:
                check_pass(cls)
            except AssertionError as broken:
                raise BadInput(f"{path}: {broken}") from broken
            say(f"{cls.name} holds all {len(checks_of(cls))} checks of the contract.")


def _needs(cls: type[Pass]) -> list[str]:
    """The signals that it reads with its defaults, such as `encoder attention_row cls`."""
    from ..ir.layout import Layout

    return [f"{need.stage} {need.signal} {need.query}" for need in cls().needs(Layout.image(24, 24, prefix=1))]


def _print_all(described: list[dict[str, Any]]) -> None:
    columns = ("name", "mechanism", "sites", "source", "summary")
    rows = [[_cell(row[column]) for column in columns] for row in described]
    print_table(dict.fromkeys(columns, "left"), rows)


def _print_one(row: dict[str, Any], text: str) -> None:
    say(f"{row['name']}: {row['summary']}", style="bold")
    say(text)
    print_table({"": "left", " ": "left"}, [[key, _cell(value)] for key, value in row.items() if key != "summary"])


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key}={item}" for key, item in value.items()) or "-"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return "-" if value is None else str(value)
