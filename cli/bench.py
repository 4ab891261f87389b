"""`foveate bench`: plans timed side by side on a live model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .inputs import workload_inputs
from .models import default_workload, load_model
from .options import FormatOption, ModelArgument, WorkloadOption
from .output import OutputFormat, mebibytes, milliseconds, print_json, print_table, remark
from .own_methods import takes_methods
from .validate import checked

if TYPE_CHECKING:
    from ..runtime import Figures

EXAMPLE = "foveate bench testbed --plan examples/hand_written.yaml --rounds 21"
UNCOMPRESSED = "none"


@takes_methods
def bench(
    model: ModelArgument,
    *,
    plan: Annotated[
        list[Path], typer.Option("--plan", metavar="PLAN", help="A plan file; repeatable.", show_default=False)
    ],
    rounds: Annotated[int, typer.Option("--rounds", min=3, help="Timed rounds; every plan runs once in each.")] = 11,
    workload: WorkloadOption = None,
    format: FormatOption = OutputFormat.TABLE,
) -> None:
    """Time plans side by side on a live model.

    The uncompressed model and every plan run in turn, round by round in one process; medians are printed.
    """
    from ..runtime import compare

    plans = {str(path): checked(path) for path in plan}
    request = default_workload(model, workload)
    loaded = load_model(model)
    remark(f"Timing {len(plans) + 1} variants of {loaded.name} over {rounds} rounds, {request} ...")
    inputs = workload_inputs(loaded, request)
    figures = compare(loaded.model, inputs, {UNCOMPRESSED: None, **plans}, rounds=rounds, new_tokens=request.new_tokens)
    if format is OutputFormat.JSON:
        print_json({"runs": [run_data(name, found) for name, found in figures.items()]})
    else:
        print_runs(figures)


def run_data(name: str, figures: Figures) -> dict[str, Any]:
    """One run of the JSON in docs/formats.md; `interval` is that of the median TTFT, in ms."""
    return {
        "plan": None if name == UNCOMPRESSED else name,
        "ttft_ms": figures.ttft_ms,
        "tpot_ms": figures.tpot_ms,
        "kv_bytes": figures.kv_bytes,
        "peak_bytes": figures.peak_bytes,
        "interval": list(figures.ttft_interval),
        "n": figures.n,
    }


def print_runs(figures: Mapping[str, Figures], *, title: str | None = None) -> None:
    """Print a table of runs; the ratio is to the uncompressed model, paired by round."""
    from ..runtime import ratio

    plain = figures[UNCOMPRESSED]
    names = ("plan", "TTFT ms", "95 % interval", "of uncompressed", "95 % interval ", "TPOT ms", "KV MiB", "peak MiB")
    rows = []
    for name, found in figures.items():
        share = ratio(found, plain)
        low, high = found.ttft_interval
        rows.append(
            [
                *(name, milliseconds(found.ttft_ms), f"{milliseconds(low)} to {milliseconds(high)}"),
                *(f"{100 * share.median:.1f} %", f"{100 * share.low:.1f} to {100 * share.high:.1f}"),
                *(milliseconds(found.tpot_ms), mebibytes(found.kv_bytes), mebibytes(found.peak_bytes)),
            ]
        )
    print_table({name: "left" if name == "plan" else "right" for name in names}, rows, title=title)
