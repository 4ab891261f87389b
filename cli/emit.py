"""`foveate emit`: Triton kernels specialised to a plan, as a Python module of their own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..common.errors import BadInput
from .models import EMBEDDED, traced
from .options import ModelOption, PlanArgument, WorkloadOption
from .output import print_table, say
from .validate import checked

if TYPE_CHECKING:
    from ..ir.plan import Plan
    from ..runtime.emission.manifest import Manifest, SiteRecord

EXAMPLE = "foveate emit plan.yaml -o kernels --target cuda:90"


def emit(
    plan: PlanArgument,
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Where the kernels go.", show_default=False)
    ],
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            metavar="TARGET",
            help="Compile for it too: cuda:90, cuda:80, hip:gfx942; repeatable.",
            show_default=False,
        ),
    ] = None,
    model: ModelOption = None,
    workload: WorkloadOption = None,
    dtype: Annotated[str, typer.Option("--dtype", help="Of the hidden states: float32, bfloat16 or float16.")] = (
        "bfloat16"
    ),
) -> None:
    """Write Triton kernels for a plan's shapes, and compile them where targets are named."""
    from ..runtime.emission import emit as write

    found = checked(plan)
    source = model or _named(found, plan)
    graph = traced(source, workload or (str(found.workload) if found.workload else None))
    made = write(found, graph, folder=output, dtype=dtype, targets=target or ())
    print_sites(made)
    files = "1 file" if len(made.files) == 1 else f"{len(made.files)} files"
    say(f"{output}: {files} for {graph.model}, tuned for {made.tuning}.")
    if target:
        say(_resources(made))


def print_sites(made: Manifest) -> None:
    """Print what became of each placement."""
    columns = ("pass", "site", "modality", "tokens", "launches", "from")
    rows = [
        [s.method, s.site, s.modality, f"{s.tokens_in} to {s.tokens_out}", _launches(s), _origin(s)] for s in made.sites
    ]
    print_table({name: "right" if name in ("tokens", "launches") else "left" for name in columns}, rows)


def _launches(site: SiteRecord) -> str:
    return "-" if site.launches is None else f"{site.launches['select']}, {site.launches['compact']} with the gather"


def _origin(site: SiteRecord) -> str:
    return "emitted" if site.way == "emitted" else f"library: {site.reason}"


def _named(plan: Plan, path: Path) -> str:
    """The embedded model that the plan was made for.

    Raises:
        BadInput: it was made for another, or for none that it names.
    """
    if plan.model is not None and plan.model.name in EMBEDDED:
        return plan.model.name
    raise BadInput(f"{path} does not say whose shapes to emit for; name the model with --model.")


def _resources(made: Manifest) -> str:
    """One sentence on what was compiled."""
    told = []
    for target, kernels in made.targets.items():
        most, spilled = max((k.registers for k in kernels), default=0), sum(k.spilled for k in kernels)
        told.append(f"{target}: {len(kernels)} launches, at most {most} registers, {spilled} bytes spilled")
    return "; ".join(told) + "."
