"""What every benchmark shares: the command line, a table with goals, a JSON file, and the exit code."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from foveate.common.files import write_whole


@dataclass(frozen=True)
class Goal:
    """One figure and what it should be; `met` None means that the figure has no goal."""

    figure: str
    value: str
    goal: str = ""
    met: bool | None = None


_SHOWN: list[dict[str, Any]] = []


def arguments(description: str) -> argparse.Namespace:
    """Parse the options that every benchmark takes and no others."""
    return parser(description).parse_args()


def parser(description: str) -> argparse.ArgumentParser:
    """`--quick` (a small run that shows the script works) and `--json FILE`; a benchmark may add its own."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--quick", action="store_true", help="a small run; its figures prove nothing")
    made.add_argument("--json", type=Path, help="write the figures to this file")
    return made


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table, plain where the output is not a terminal, and keep it for the JSON file."""
    _SHOWN.append({"title": title, "columns": list(columns), "rows": [list(map(str, row)) for row in rows]})
    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(*map(str, row))
    Console(width=None if sys.stdout.isatty() else 140).print(table)


def finish(goals: Sequence[Goal], *, json_file: Path | None, figures: Any, quick: bool) -> int:
    """Print the goals, write the JSON file, and return the exit code: 1 where a goal is missed in a full run."""
    marks = {True: "met", False: "MISSED", None: ""}
    tables = list(_SHOWN)
    show("Goals", ["figure", "value", "goal", ""], [[g.figure, g.value, g.goal, marks[g.met]] for g in goals])
    if json_file is not None:
        record = {
            "command": _command(),
            "machine": machine(),
            "quick": quick,
            "tables": tables,
            "goals": [asdict(g) for g in goals],
        }
        record["figures"] = figures
        write_whole(json_file, json.dumps(record, indent=1, default=float) + "\n")
    return int(any(g.met is False for g in goals) and not quick)


def _command() -> str:
    """The command line without the JSON file, which says nothing about the figures."""
    words = sys.argv[1:]
    if "--json" in words:
        place = words.index("--json")
        words = words[:place] + words[place + 2 :]
    return " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *words])


def machine() -> dict[str, str]:
    """The machine and the versions that the figures are from."""
    import torch
    import transformers

    model = next((line.split(":")[1].strip() for line in _cpu_lines() if line.startswith("model name")), "")
    return {
        "cpu": model or platform.processor(),
        "threads": str(torch.get_num_threads()),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
    }


def _cpu_lines() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []
