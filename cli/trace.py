"""`foveate trace`: the token flow of a model, stage by stage, and the sites where it can be compressed."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..common.errors import BadInput
from .models import traced
from .options import WorkloadOption
from .output import mebibytes, percent, print_json, print_table, remark, say

if TYPE_CHECKING:
    from ..ir.coverage import Coverage
    from ..ir.graph import Graph, Stage

EXAMPLE = "foveate trace testbed --workload image=1x224x224,text=16,new=4"
_ELEMENT_BYTES = 4


class TraceFormat(StrEnum):
    """How the flow is printed: `json` sums up each stage, `graph` holds every operation and reads back exactly."""

    TABLE = "table"
    JSON = "json"
    GRAPH = "graph"
    DOT = "dot"
    SVG = "svg"
    MARKDOWN = "markdown"


def trace(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL]",
            help="`testbed`, a local checkpoint folder, a config.json, a preset or a transformers model type.",
            show_default=False,
        ),
    ] = None,
    *,
    workload: WorkloadOption = None,
    plan: Annotated[
        Path | None, typer.Option("--plan", metavar="PLAN", help="Show the flow under this plan.", show_default=False)
    ] = None,
    trust_remote_code: Annotated[
        bool,
        typer.Option("--trust-remote-code", help="Let a local checkpoint's own Python define its configuration."),
    ] = False,
    coverage: Annotated[
        bool, typer.Option("--coverage", help="Say which of transformers' multimodal model types trace.")
    ] = False,
    format: Annotated[
        TraceFormat,
        typer.Option("--format", help="How to print it; markdown is for --coverage.", case_sensitive=False),
    ] = TraceFormat.TABLE,
) -> None:
    """Show where a model's tokens go.

    Stages with their tokens, layers, work and parameters, and the sites that can be compressed; nothing is run.
    """
    if coverage:
        _print_coverage(format)
        return
    if model is None:
        raise BadInput("no model was named; give one, as in foveate trace qwen2_vl, or see foveate trace --help")
    graph = traced(model, workload, trust_remote_code=trust_remote_code)
    if plan is not None:
        from ..ir.plan import load
        from ..runtime import resolve

        graph = resolve(graph, load(plan))
    _print_graph(graph, format)


def _print_graph(graph: Graph, format: TraceFormat) -> None:
    from ..ir import drawing

    if format is TraceFormat.JSON:
        print_json(graph_data(graph))
    elif format is TraceFormat.GRAPH:
        print_json(graph.to_data())
    elif format in (TraceFormat.DOT, TraceFormat.SVG):
        sys.stdout.write(drawing.dot(graph) if format is TraceFormat.DOT else drawing.svg(graph))
    elif format is TraceFormat.MARKDOWN:
        raise BadInput("--format markdown prints the coverage page; add --coverage, or choose another format")
    else:
        print_flow(graph)


def _print_coverage(format: TraceFormat) -> None:
    from ..ir.coverage import covered, page
    from ..ir.sources import multimodal_classes

    if format not in (TraceFormat.TABLE, TraceFormat.JSON, TraceFormat.MARKDOWN):
        raise BadInput(f"--coverage has no {format.value} form; choose table, json or markdown")
    found = []
    for model_type in sorted(multimodal_classes()):
        found.append(covered(model_type))
        remark(f"{model_type}: {'traces' if found[-1].ok else found[-1].reason}")
    if format is TraceFormat.JSON:
        print_json([{"model_type": c.model_type, "ok": c.ok, "reason": c.reason} for c in found])
    elif format is TraceFormat.MARKDOWN:
        sys.stdout.write(page(found))
    else:
        _coverage_table(found)


def _coverage_table(found: list[Coverage]) -> None:
    rows = [(c.model_type, "yes" if c.ok else "no", c.reason) for c in found]
    print_table({"model type": "left", "traces": "left", "reason": "left"}, rows)
    say(f"{sum(c.ok for c in found)} of {len(found)} trace.")


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
        "possible_sites": [str(site) for site in graph.possible_sites()],
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
        "active_params": stage.parameters if stage.active_parameters is None else stage.active_parameters,
        "mixing": stage.mixing,
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
