"""Samples that a model cannot take: found among their batch, and named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...common.errors import BadInput
from .batches import Batch, collate
from .decoding import Answer, decode
from .samples import CalibrationSample

_REFUSALS = (ValueError, RuntimeError, IndexError, TypeError, KeyError)


def answered(model: Any, batch: Batch, samples: Sequence[CalibrationSample], *, steps: int) -> Answer:
    """The greedy answers of `model` to a batch of `samples`.

    Raises:
        BadInput: the model cannot take one of them; the sentence names its file and line, and the model's reason.
    """
    import torch

    try:
        return decode(model, batch.inputs, steps=steps)
    except torch.OutOfMemoryError:
        raise
    except _REFUSALS as error:
        for row in batch.rows:
            _require_taken(model, samples[row], row, steps)
        raise error


def _require_taken(model: Any, sample: CalibrationSample, row: int, steps: int) -> None:
    try:
        decode(model, collate([sample]), steps=steps)
    except _REFUSALS as error:
        where = sample.origin or f"calibration sample {row}"
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise BadInput(f"{where}: the model cannot take this sample: {reason}; mend its prompt or its media") from error
