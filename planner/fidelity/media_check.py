"""Calibration samples beside the workload that is planned for: each carries the media that a request has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...common.errors import BadInput
from ...ir.families.row import ARGUMENTS, signature
from ...ir.workload import Workload
from ...runtime.adapters import live_part
from .refusals import place_of
from .samples import CalibrationSample

_MEND = "give samples of the requests to plan for, or state the workload that they make up"


def require_media(
    model: Any, workload: Workload, samples: Sequence[CalibrationSample], *, kind: str = "calibration sample"
) -> None:
    """Refuse samples that surely lack media of the workload; pictures of other sizes are none of that.

    Raises:
        BadInput: a sample has no medium of one of its modalities, or fewer than a request; the sentence names it.
    """
    taken = signature(live_part(model))
    wanted = {
        "image": sum(each.count for each in workload.images),
        "video": len(workload.videos),
        "audio": len(workload.audio_seconds),
    }
    for modality in workload.modalities:
        names = [name for name in ARGUMENTS[modality] if name in taken]
        for number, sample in enumerate(samples):
            found = _most(sample, modality, names)
            if found is not None and found < wanted[modality]:
                where, has = place_of(sample, number, kind=kind), f"{found or 'no'} {modality}"
                raise BadInput(f"{where}: it has {has}, and the workload {workload} has {wanted[modality]}; {_MEND}")


def _most(sample: CalibrationSample, modality: str, names: Sequence[str]) -> int | None:
    """How many media of a modality a sample can carry at most; None where its inputs do not tell.

    Args:
        names: arguments by which the model takes the modality; none where clips come in as pictures.
    """
    if not names:
        return None
    if all(sample.inputs.get(name) is None for name in names):
        return 0
    grids, pixels = sample.inputs.get(f"{modality}_grid_thw"), sample.inputs.get("pixel_values")
    if grids is not None:
        return len(grids)
    # (N, C, S, S): a picture or a tile each; other shapes may hold several pictures in a row.
    squares = modality == "image" and pixels is not None and pixels.dim() == 4 and pixels.shape[-1] == pixels.shape[-2]
    return len(pixels) if squares and pixels is not None else None
