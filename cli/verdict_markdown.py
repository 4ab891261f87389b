"""Verdicts as a Markdown page: the step summary of a CI job."""

from __future__ import annotations

import html
from collections.abc import Sequence

from .verdicts import Checked, cells

_HEAD = ("budget", "figure", "interval", "limit", "how", "verdict")
_SPECIAL = str.maketrans({character: f"\\{character}" for character in "\\`*_[]|#~"})


def markdown(checks: Sequence[Checked]) -> str:
    """A heading and a table for each plan."""
    return "\n".join(_section(item) for item in checks)


def _section(item: Checked) -> str:
    lines = [f"### foveate check {_escaped(item.plan)}", ""]
    if item.error is not None:
        lines.append(f"**the plan does not fit:** {_escaped(str(item.error))}")
    if item.verdicts:
        rows = [[_escaped(cell) for cell in cells(verdict)] for verdict in item.verdicts]
        marked = [[*row[:-1], row[-1] if row[-1] == "held" else f"**{row[-1]}**"] for row in rows]
        lines += [_row(_HEAD), _row(["---"] * len(_HEAD)), *map(_row, marked)]
    return "\n".join(lines) + "\n"


def _row(row: Sequence[str]) -> str:
    return f"| {' | '.join(row)} |"


def _escaped(text: str) -> str:
    """Text that means nothing to Markdown or HTML.

    >>> print(_escaped("<b>a|b</b>"))
    &lt;b&gt;a\\|b&lt;/b&gt;
    """
    return html.escape(" ".join(text.split()), quote=False).translate(_SPECIAL)
