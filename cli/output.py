"""What commands print: tables and JSON on standard output; progress and sentences go to standard error."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, Literal

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

Justify = Literal["left", "right"]
_PIPED_WIDTH = 140


class OutputFormat(StrEnum):
    """How a command prints its result."""

    TABLE = "table"
    JSON = "json"


def stdout() -> Console:
    """The console for results; made anew at each call, so that a replaced `sys.stdout` is honoured."""
    return _console(sys.stdout)


def stderr() -> Console:
    """The console for progress and remarks."""
    return _console(sys.stderr)


def _console(file: IO[str]) -> Console:
    # A pipe has no width of its own; rich would squeeze tables into 80 columns.
    fixed = None if file.isatty() or "COLUMNS" in os.environ else _PIPED_WIDTH
    return Console(file=file, highlight=False, width=fixed)


def print_json(data: Any) -> None:
    """Print `data` as JSON on standard output; NaN and infinities are refused, since JSON has none."""
    sys.stdout.write(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def print_table(columns: Mapping[str, Justify], rows: Iterable[Sequence[str]], *, title: str | None = None) -> None:
    """Print a table on standard output; cells are plain text, in which brackets mean nothing."""
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for name, justify in columns.items():
        table.add_column(name, justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    stdout().print(table)


def say(text: str = "", *, style: str = "") -> None:
    """Print a line of prose on standard output, brackets and all."""
    stdout().print(Text(text, style=style), soft_wrap=True)


def remark(text: str) -> None:
    """Print a line of prose on standard error."""
    stderr().print(Text(text), soft_wrap=True)


def program() -> str:
    """How to call foveate from here: by its name where the shell finds it, else by the path it was called by."""
    called = Path(sys.argv[0])
    found = shutil.which("foveate")
    if called.name != "foveate" or (found is not None and Path(found).samefile(called)):
        return "foveate"
    return os.path.relpath(called)


def milliseconds(value: float | None) -> str:
    """Format a duration with three significant digits or so.

    >>> milliseconds(0.1234), milliseconds(12.34), milliseconds(1234.5), milliseconds(None)
    ('0.123', '12.3', '1234', '-')
    """
    if value is None:
        return "-"
    return f"{value:.3f}" if value < 1 else f"{value:.1f}" if value < 1000 else f"{value:.0f}"


def percent(fraction: float | None) -> str:
    """Format a fraction as a percentage with one decimal.

    >>> percent(0.5), percent(None)
    ('50.0 %', '-')
    """
    return "-" if fraction is None else f"{100 * fraction:.1f} %"


def mebibytes(count: float | None) -> str:
    """Format bytes as MiB.

    >>> mebibytes(3 * 2**20), mebibytes(None)
    ('3.0', '-')
    """
    return "-" if count is None else f"{count / 2**20:.1f}"
