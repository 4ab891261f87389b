"""`foveate trace`: the token flow of a model, stage by stage, and the sites where it can be compressed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .models import traced
from .options import FormatOption, WorkloadOption
from .output import OutputFormat, mebibytes, percent, print_json, print_table, say

if TYPE_CHECKING:
    from ..ir.graph import Graph, Stage

EXAMPLE = "foveate trace testbed --workload image=1x224x224,text=16,new=4"
_ELEMENT_BYTES = 4


def trace(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="`testbed`, a local checkpoint folder, or a config.json.", show_default=False
        ),
    ],
    *,
    workload: WorkloadOption = None,
    plan: Annotated[
        Path | None, typer.Option("--plan", metavar="PLAN", help="Show the flow under this plan.", show_default=False)
    ] = None,
    format: FormatOption = OutputFormat.TABLE,
) -> None:
    """Show where a model's tokens go.

    Stages with their tokens, layers, work and parameters, and the sites that can be compressed; nothing is run.
    """
    graph = traced(model, workload)
    if plan is not None:
        from ..ir.plan import load
        from ..runtime import resolve

        graph = resolve(graph, load(plan))
    if format is OutputFormat.JSON:
        print_json(graph_data(graph))
    else:
        print_flow(graph)


def graph_data(graph: Graph) -> dict[str, Any]:
    """The JSON of docs/formats.md; tokens, flops and bytes are those of one prefill of the whole workload's batch."""
    return {
        "model": graph.model,
        "workload": str(graph.workload),
        "stages": [_stage_data(stage, graph.workload.batch) for stage in graph.stages],
        "streams": [
            {"source": s.source, "target": s.target, "tokens": s.count, "width": s.width, "grid": s.layout.grid}
            for s in graph.streams
        ],
        "sites": [str(site) for site in graph.sites()],
    }


def print_flow(graph: Graph, *, title: str | None = None) -> None:
    """Print the stages as a table, and the sites in a line below it."""
    stages = graph_data(graph)["stages"]
    total = sum(stage["flops"] for stage in stages)
    columns = ("stage", "tokens in", "tokens out", "layers", "GFLOPs", "MB", "M params", "share of FLOPs")
    rows = [_row(stage, total) for stage in stages]
    heading = title or f"{graph.model}, {graph.workload}"
    print_table({name: "left" if name == "stage" else "right" for name in columns}, rows, title=heading)
    say(f"sites: {_sites(graph)}")


def traffic_bytes(stage: Stage, *, batch: int, element_bytes: int = _ELEMENT_BYTES) -> int:
    """Bytes that one prefill of the stage reads and writes: activations of every op, and weights once per op."""
    count = batch * stage.sequences
    moved = (op.elements(batch=count, tokens=t, context=t) + op.weights for t, op in stage.ops())
    return int(sum(moved)) * element_bytes


def _stage_data(stage: Stage, batch: int) -> dict[str, Any]:
    requests = batch * stage.sequences
    return {
        "name": stage.name,
        "modality": stage.modality,
        "role": stage.role,
        "layers": stage.depth or len(stage.layers),
        "tokens_in": requests * stage.tokens_in,
        "tokens_out": requests * stage.tokens_out,
        "flops": stage.flops(batch=batch),
        "bytes": traffic_bytes(stage, batch=batch),
        "params": stage.parameters,
    }


def _row(stage: dict[str, Any], total: int) -> list[str]:
    return [
        stage["name"],
        str(stage["tokens_in"]),
        str(stage["tokens_out"]),
        str(stage["layers"]),
        f"{stage['flops'] / 1e9:.3f}",
        mebibytes(stage["bytes"]),
        f"{stage['params'] / 1e6:.2f}",
        percent(stage["flops"] / total),
    ]


def _sites(graph: Graph) -> str:
    """`image.projector.output, decoder.layers.1 to 5`."""
    sites = graph.sites()
    layers = [site.layer for site in sites if site.kind == "decoder.layer"]
    named = [str(site) for site in sites if site.kind != "decoder.layer"]
    if len(layers) > 2:
        return ", ".join([*named, f"decoder.layers.{layers[0]} to {layers[-1]}"])
    return ", ".join([*named, *(f"decoder.layers.{k}" for k in layers)])
