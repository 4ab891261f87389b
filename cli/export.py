"""`foveate export`: what a plan does in front of the decoder, as ONNX models for other runtimes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..common.errors import BadInput
from .inputs import workload_inputs
from .models import default_workload, load_model
from .options import MODEL_HELP, PlanArgument, WorkloadOption
from .output import print_table, say
from .validate import checked

EXAMPLE = "foveate export plan.yaml --onnx onnx-models --model testbed"
_OPSET = 18


def export(
    plan: PlanArgument,
    *,
    onnx: Annotated[Path, typer.Option("--onnx", metavar="FOLDER", help="Where the models go.", show_default=False)],
    model: Annotated[str, typer.Option("--model", metavar="MODEL", help=f"{MODEL_HELP}.", show_default=False)],
    workload: WorkloadOption = None,
    opset: Annotated[int, typer.Option("--opset", min=_OPSET, help="ONNX opset to write.")] = _OPSET,
) -> None:
    """Write encoder, projector and compression of each modality as ONNX models, checked against torch.

    The number of media is free, token counts are those of the plan's workload. What acts inside the decoder stays out.
    """
    from ..runtime.export import export_onnx

    found = checked(plan)
    wanted = default_workload(model, workload or (str(found.workload) if found.workload else None))
    loaded = load_model(model, accelerator=False)
    try:
        onnx.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"cannot make the folder {onnx}: {error.strerror}; name another with --onnx.") from error
    written = export_onnx(loaded.model.float(), found, onnx, inputs=workload_inputs(loaded, wanted), opset=opset)
    columns = ("file", "input", "tokens in", "tokens out", "opset", "difference from torch")
    rows = [
        [
            str(each.path),
            " x ".join(["media", *map(str, each.shape[1:])]),
            str(each.tokens_in),
            str(each.tokens_out),
            str(each.opset),
            f"{each.error:.1e}",
        ]
        for each in written
    ]
    print_table({name: "left" if name in ("file", "input") else "right" for name in columns}, rows)
    for label in written[0].left:
        say(f"Not in these models, since it acts inside the decoder: {label}.")
