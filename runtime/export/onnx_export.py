"""Writing the part of a plan in front of the decoder as ONNX models, one for each modality, checked against torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...common.errors import BadInput
from ...common.files import write_whole
from ...ir.plan import Plan
from ...ir.site import Site
from ..adapters import adapter_of, live_part
from ..support import check_fits
from .annotation import annotate

if TYPE_CHECKING:
    import torch
    from torch import nn

OPSET = 18
"""The opset that is written: the first with every operator that torch's exporter uses."""

_NEEDED = ("onnx", "onnxscript", "onnxruntime")


@dataclass(frozen=True)
class Exported:
    """One ONNX model.

    Attributes:
        path: its file. modality: whose encoder it holds. tokens_in, tokens_out: of one medium, static.
        opset: of the default domain. shape: of its input, the dynamic first dimension as 0.
        error: the largest difference from torch that was seen, relative to the largest feature.
        left: labels of the plan's placements that it does not hold, since they act inside the decoder.
    """

    path: Path
    modality: str
    tokens_in: int
    tokens_out: int
    opset: int
    shape: tuple[int, ...]
    error: float
    left: tuple[str, ...]


def export_onnx(
    model: nn.Module,
    plan: Plan,
    folder: str | os.PathLike[str],
    *,
    inputs: Mapping[str, torch.Tensor],
    opset: int = OPSET,
) -> tuple[Exported, ...]:
    """Write encoder, projector and compression of every modality of `inputs` into `folder`.

    Each file takes the features of M media, M being free, and gives (M, K, D) features and their (M, K) places in the
    uncompressed tokens; K is static. It is written only where onnxruntime gives what torch gives.

    Args:
        model: a live model in eval mode on the CPU, without a plan applied.
        inputs: processor outputs of a request of the plan's workload; they fix shapes and token counts.
        opset: of the default operators, 18 or later.

    Raises:
        BadInput: a library is missing, a pass reads what an encoder's model does not hold, or the family's features
            are not one tensor with an entry for each medium.
    """
    for library in _NEEDED:
        _require(library)
    target = Path(folder)
    if not target.is_dir():
        raise BadInput(f"Cannot write {target}: it is no folder; create it first.")
    part = live_part(model)
    check_fits(plan, part)
    before, left = _split(plan)
    found = [
        _exported(part, before, modality, left=left, folder=target, inputs=inputs, opset=opset)
        for modality in adapter_of(part.config).media(part.config, inputs)
    ]
    if not found:
        raise BadInput("the request has no media, so there is no encoder to export; name a workload with media")
    return tuple(found)


def _require(library: str) -> Any:
    try:
        return import_module(library)
    except ImportError as error:
        raise BadInput(f"{library} is not installed, and exporting needs it; install foveate[onnx]") from error


def _split(plan: Plan) -> tuple[Plan, tuple[str, ...]]:
    """The placements that an encoder's model can hold, and labels of those that are left to the decoder."""
    kinds = [(placement, Site.parse(placement.site).kind) for placement in plan.placements]
    inside = tuple(placement.label() for placement, kind in kinds if kind.startswith("decoder"))
    return plan.with_placements([placement for placement, kind in kinds if not kind.startswith("decoder")]), inside


def _exported(
    model: Any,
    plan: Plan,
    modality: str,
    *,
    left: tuple[str, ...],
    folder: Path,
    inputs: Mapping[str, torch.Tensor],
    opset: int,
) -> Exported:
    import torch

    from .building import compressed_encoder
    from .recording import recorded_model, several
    from .verification import verified

    mine = [p for p in plan.placements if modality in p.modalities(adapter_of(model.config).modalities)]
    built = compressed_encoder(model, mine, modality=modality, inputs=inputs)
    with torch.no_grad(), built as (encoder, features):
        tokens_out = int(encoder(features[:1])[1].shape[1])
        program = recorded_model(encoder, several(features, 2), opset)
        annotate(program, plan.with_placements(mine), encoder.layout, encoder.placed, left)
        data, error = verified(program, encoder, features)
        shape = (0, *features.shape[1:])
        path = write_whole(folder / f"{modality}_encoder.onnx", data)
    return Exported(path, modality, encoder.layout.total, tokens_out, opset, shape, error, left)
