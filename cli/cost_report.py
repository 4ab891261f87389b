"""What a model would cost on a device: the predicted figures, its stages, and what each site could gain at most."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .output import milliseconds, percent, print_json, print_table, say

if TYPE_CHECKING:
    from ..cost_models import CostModel, Limit, Prediction
    from ..ir.graph import Graph


def cost_data(model: CostModel, graph: Graph) -> dict[str, Any]:
    """The JSON of docs/formats.md: figures of `graph` with its placements, limits of the uncompressed model."""
    found = model.predict(graph)
    figures = {name: value for name, value in vars(found).items() if name != "stages"}
    stages = [{"name": s.name, "ms": s.ms, "tokens": s.tokens} for s in found.stages]
    limits = [vars(limit) for limit in _limits(model, graph)]
    about = {"model": graph.model, "workload": str(graph.workload), "device": model.profile.name}
    precision = {"dtype": model.pricer.dtype, "weights": model.pricer.weight_dtype or model.pricer.dtype}
    return {**about, **precision, **figures, "stages": stages, "limits": limits}


def print_costs(model: CostModel, graph: Graph, *, as_json: bool) -> None:
    """Print the costs of `graph` on the model's device."""
    if as_json:
        print_json(cost_data(model, graph))
        return
    found, pricer = model.predict(graph), model.pricer
    weights = "" if pricer.weight_dtype is None else f", weights {pricer.weight_dtype}"
    say(f"{graph.model} on {model.profile.name} in {pricer.dtype}{weights}, {graph.workload}")
    print_table({"figure": "left", "predicted": "right", "90 % interval": "right"}, _figures(found, graph))
    stages = [[s.name, milliseconds(s.ms), percent(s.ms / found.ttft_ms), str(s.tokens)] for s in found.stages]
    if graph.placed:
        stages.append(["passes", milliseconds(found.compression_ms), percent(found.compression_ms / found.ttft_ms), ""])
    print_table({"stage": "left", "ms": "right", "of TTFT": "right", "tokens": "right"}, stages)
    for limit in _telling(_limits(model, graph)):
        say(limit.words + ".")


def _figures(found: Prediction, graph: Graph) -> list[list[str]]:
    work = graph.workload
    rows = [
        ["time to first token", f"{milliseconds(found.ttft_ms)} ms", _interval(found.interval)],
        ["time per output token", f"{milliseconds(found.tpot_ms)} ms", _interval(found.tpot_interval)],
        ["whole answer", f"{milliseconds(found.latency_ms)} ms", ""],
        ["throughput", f"{found.throughput_per_s:.3g} requests/s", ""],
        ["peak memory", f"{found.memory_bytes / 2**30:.2f} GiB", ""],
        ["keys and values", f"{found.kv_bytes / 2**20:.1f} MiB", ""],
    ]
    if work.concurrency > 1:
        label = f"with {work.concurrency} clients, median"
        rows.append([f"first token {label}", f"{milliseconds(found.queued_ttft_ms)} ms", ""])
        rows.append([f"whole answer {label}", f"{milliseconds(found.queued_latency_ms)} ms", ""])
    if work.turns > 1:
        rows.append([f"first token of turn {work.turns}", f"{milliseconds(found.later_turn_ms)} ms", ""])
        rows.append([f"all {work.turns} turns", f"{milliseconds(found.conversation_ms)} ms", ""])
    return rows


def _interval(bounds: tuple[float, float]) -> str:
    return f"{milliseconds(bounds[0])} to {milliseconds(bounds[1])} ms"


def _limits(model: CostModel, graph: Graph) -> tuple[Limit, ...]:
    """Limits of the uncompressed model; placements have spent theirs."""
    return () if graph.placed else model.limits(graph)


def _telling(limits: tuple[Limit, ...]) -> list[Limit]:
    """The first site of each kind: later layers of a stage gain less than its first."""
    from ..ir.site import Site

    first: dict[tuple[str, str | None], Limit] = {}
    for limit in limits:
        site = Site.parse(limit.site)
        first.setdefault((site.kind, site.modality), limit)
    return list(first.values())
