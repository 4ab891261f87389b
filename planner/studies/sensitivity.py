"""A file of what single passes lose alone, which searches for several budgets share.

foveate: 1
model: "sha256:..."
workload: image=1x224x224,text=16,new=4
samples: 64 (e3b0c44298fc)
weights: 0a1b2c3d4e5f
judged_by: fidelity
measurements:                      # by pass and place: [fraction asked for, fraction that remained, score]
  fastv@decoder.layers.2:
  - [0.3, 0.301, 0.914]
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ...common.errors import BadInput
from ...common.files import write_whole
from ...common.validation import validate
from ...common.yaml_lines import dump
from ..search.screening import Profile

_IDENTITY = ("model", "workload", "samples", "weights", "judged_by")
"""What the measurements depend on: of a study's question all that is neither budget nor search."""

_DIGITS = 6

Fraction = Annotated[float, Field(gt=0, le=1)]
Measurement = tuple[Fraction, Fraction, float]


class SensitivityRecord(BaseModel):
    """The file's schema; numbers are finite, and unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    foveate: Literal[1]
    model: str
    workload: str
    samples: str
    weights: str
    judged_by: str
    measurements: dict[str, list[Measurement]]


@contextmanager
def kept_sensitivity(place: str | os.PathLike[str] | None, question: Mapping[str, Any]) -> Iterator[Profile]:
    """What the file at `place` holds, to be reused and added to; what was added is written when the search ends.

    It is written too where the search is interrupted or finds no plan.

    Args:
        place: the file, which need not exist yet; None keeps nothing.
        question: of the study, of which the model, workload, samples, weights and metric must be those of the file.

    Raises:
        BadInput: the file is malformed or of something else, or it cannot be written.
    """
    if place is None:
        yield {}
        return
    file = Path(place)
    if not file.parent.is_dir():  # said before the search, not after it
        raise BadInput(f"cannot write {file}: the folder {file.parent} does not exist; create it first")
    profile = _read(file, question) if file.exists() else {}
    known = copy.deepcopy(profile)
    try:
        yield profile
    finally:
        if profile != known:
            write_whole(file, _text(profile, question))


def _read(place: Path, question: Mapping[str, Any]) -> Profile:
    record = validate(SensitivityRecord, place)
    differing = [key for key in _IDENTITY if getattr(record, key) != question[key]]
    if differing:
        what = ", ".join(f"{key} {getattr(record, key)!r} instead of {question[key]!r}" for key in differing)
        raise BadInput(f"{place} holds measurements of something else ({what}); give another file")
    return {step: [list(entry) for entry in entries] for step, entries in record.measurements.items()}


def _text(profile: Profile, question: Mapping[str, Any]) -> str:
    measured = {step: [[round(v, _DIGITS) for v in entry] for entry in found] for step, found in profile.items()}
    return dump({"foveate": 1, **{key: question[key] for key in _IDENTITY}, "measurements": measured})
