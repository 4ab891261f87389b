"""Which of transformers' multimodal model types trace, held to transformers' and torch's own counts."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Any

from ..common.errors import BadInput
from .families.defaults import default_config
from .families.table import row_of
from .fingerprint import fingerprint
from .graph import Graph
from .sources import built_on_meta, first_line, multimodal_classes
from .workload import Workload

COUNTED = ("gemm", "attention", "convolution")
"""Kinds of operations that torch's flop counter counts."""
_TOLERANCE = 1e-3

_MEANING = (
    "{traced} of the {all} model types in transformers' image-text-to-text and multimodal mappings trace. That means: "
    "from the default configuration (completed in `ir/families/defaults.py` where it is itself broken) the stages' "
    "parameters add up to `num_parameters()`, their FLOPs match torch's flop counter over one whole forward to 0.1 %, "
    "and there is at least one site."
)


@dataclass(frozen=True)
class Coverage:
    """Whether one model type traces, and the reason where it does not."""

    model_type: str
    ok: bool
    reason: str = ""


def coverage() -> list[Coverage]:
    """Every model type of transformers' image-text-to-text and multimodal mappings, in order."""
    return [covered(model_type) for model_type in sorted(multimodal_classes())]


def covered(model_type: str) -> Coverage:
    """Trace the default configuration of one type and hold the graph to the model.

    It traces where the stages' parameters add up to the model's, the convention FLOPs of all stages are within 0.1 %
    of what torch's flop counter counts in one whole forward, and at least one site is found.
    """
    try:
        config = default_config(model_type)
        graph, counted, parameters = traced_and_counted(config)
    except BadInput as error:
        return Coverage(model_type, False, str(error))
    except Exception as error:  # whatever transformers raises on a configuration of its own
        return Coverage(model_type, False, f"{type(error).__name__}: {first_line(error)}")
    reason = fault(graph, counted, parameters)
    return Coverage(model_type, reason is None, reason or "")


def traced_and_counted(config: Any, workload: Workload | None = None) -> tuple[Graph, int, int]:
    """The graph of a request with every modality, torch's FLOP count of its forward, and the model's parameters."""
    from .flow import Tracer
    from .parameters import total_parameters
    from .tracing import default_workload, taken_modalities

    config = getattr(config, "thinker_config", config)
    row = row_of(config)
    model = built_on_meta(config)
    request = workload or default_workload(row, row.together(taken_modalities(row, model, config)), every=True)
    tracer = Tracer(model, row, request)
    graph = tracer.graph(config.model_type, config.model_type, fingerprint(config))
    return graph, tracer.counted_flops(), total_parameters(model)


def page(found: list[Coverage]) -> str:
    """The coverage page of the documentation, in Markdown."""
    traced = [c.model_type for c in found if c.ok]
    others = [c for c in found if not c.ok]
    lines = [
        "# What traces",
        "",
        "Written by `foveate trace --coverage --format markdown`; do not edit it by hand.",
        "",
        *textwrap.wrap(_MEANING.format(traced=len(traced), all=len(found)), 116, break_on_hyphens=False),
        "",
        *textwrap.wrap(", ".join(f"`{name}`" for name in traced) + ".", 116, break_on_hyphens=False),
        "",
        "## The rest",
        "",
        "| model type | reason |",
        "| --- | --- |",
        *(f"| `{c.model_type}` | {c.reason.replace('|', '/')} |" for c in others),
        "",
    ]
    return "\n".join(lines)


def fault(graph: Graph, counted: int, parameters: int) -> str | None:
    """What of a graph differs from the model, None where nothing does."""
    if graph.parameters != parameters or graph.idle_parameters:
        return f"stages hold {graph.parameters - graph.idle_parameters} parameters and the model {parameters}"
    ran = {stage.modality for stage in graph.stages}
    idle = [modality for modality in graph.workload.modalities if modality not in ran]
    if idle:
        return f"nothing of the model ran on the workload's {' and '.join(idle)}"
    flops = convention_flops(graph)
    if abs(flops - counted) > _TOLERANCE * counted:
        return f"stages count {flops:.6g} FLOPs and torch {counted:.6g}"
    return None if graph.possible_sites() else "no site was found"


def convention_flops(graph: Graph) -> int:
    """FLOPs of one prefill of all stages as torch's flop counter counts them."""
    total = 0
    for stage in graph.stages:
        for tokens, op in stage.ops():
            if op.kind in COUNTED:
                total += op.convention_flops(batch=stage.sequences, tokens=tokens, context=tokens)
    return int(total)
