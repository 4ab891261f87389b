"""A JSON Lines file of times that a user measured: what `foveate calibrate --from` reads."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..common.errors import BadInput
from ..common.files import read_text
from ..common.names import unknown
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
    lines = read_text(path).splitlines()
    found = [_measurement(path, number, text) for number, text in enumerate(lines, start=1) if text.strip()]
    if not found:
        raise BadInput.at(path, None, "it holds no run", _MEND)
    return found


def _measurement(source: Path, number: int, text: str) -> Measurement:
    from ..cost_models import Measurement

    run = _parsed(source, number, text)
    try:
        return Measurement(_graph(source.parent, run), run.ttft_ms, run.tpot_ms)
    except BadInput as error:
        raise BadInput.at(source, number, str(error)) from error


def _parsed(source: Path, number: int, text: str) -> RunRecord:
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise BadInput.at(source, number, f"this is not JSON ({error.msg} at column {error.colno})", _MEND) from error
    if not isinstance(data, dict):
        raise BadInput.at(source, number, f"an object is expected, not {data!r:.60}", _MEND)
    for key in data:
        if key not in RunRecord.model_fields:
            raise BadInput.at(source, number, str(unknown("key", key, RunRecord.model_fields)))
    try:
        return RunRecord.model_validate(data)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        raise BadInput.at(source, number, f"{fault['loc'][0]}: {fault['msg']}", _MEND) from error


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
