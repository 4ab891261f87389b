"""A JSON Lines file of times that a user measured: what `foveate calibrate --from` reads."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from ..common.errors import BadInput
from ..common.files import read_text
from ..common.json_lines import parsed_line
from .models import EMBEDDED, traced

if TYPE_CHECKING:
    from ..cost_models import Measurement
    from ..ir.graph import Graph

_MEND = 'write {"model": ..., "workload": ..., "plan": optional file, "ttft_ms": ..., "tpot_ms": optional}'

Milliseconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class RunRecord(BaseModel):
    """One line: what ran, and its times. `model` is a MODEL of the command line; paths are relative to the file."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: Annotated[str, Field(min_length=1)]
    workload: str | None = None
    plan: str | None = None
    ttft_ms: Milliseconds
    tpot_ms: Milliseconds | None = None


def read_runs(path: Path) -> list[Measurement]:
    """The measurements of a file, one a line; empty lines are skipped.

    Raises:
        BadInput: no such file, no run in it, or a line that cannot be used; the sentence names the line.
    """
    lines = read_text(path).split("\n")  # splitlines() would also cut at U+2028 and its like inside of strings
    found = [_measurement(path, number, text) for number, text in enumerate(lines, start=1) if text.strip()]
    if not found:
        raise BadInput.at(path, None, "it holds no run", _MEND)
    return found


def _measurement(source: Path, number: int, text: str) -> Measurement:
    from ..cost_models import Measurement

    run = parsed_line(RunRecord, text, source=source, number=number, mend=_MEND)
    try:
        return Measurement(_graph(source.parent, run), run.ttft_ms, run.tpot_ms)
    except BadInput as error:
        raise BadInput.at(source, number, str(error)) from error


def _graph(folder: Path, run: RunRecord) -> Graph:
    """The graph that ran, with the plan's placements where it had one."""
    from ..ir.plan import load
    from ..runtime import resolve

    beside = folder / run.model
    graph = _traced(run.model if run.model in EMBEDDED or not beside.exists() else str(beside), run.workload)
    return graph if run.plan is None else resolve(graph, load(folder / run.plan))


@lru_cache(maxsize=8)
def _traced(model: str, workload: str | None) -> Any:
    return traced(model, workload)
