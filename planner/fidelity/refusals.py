"""Samples that a model cannot take: found among others, and named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ...common.errors import BadInput
from .batches import Batch, collate
from .decoding import Answer, decode
from .samples import CalibrationSample

if TYPE_CHECKING:
    from collections.abc import Sequence

_REFUSALS = (ValueError, RuntimeError, IndexError, TypeError, KeyError)


def place_of(sample: CalibrationSample, number: int, *, kind: str = "calibration sample") -> str:
    """How a complaint names a sample: by its file and line, else by its number, counted from 0."""
    return sample.origin or f"{kind} {number}"


def answered(model: Any, batch: Batch, samples: Sequence[CalibrationSample], *, steps: int) -> Answer:
    """The greedy answers of `model` to a batch of `samples`.

    Raises:
        BadInput: the model cannot take one of them; the sentence names its file and line, and the model's reason.
    """
    with refused_by_name(model, ((row, samples[row]) for row in batch.rows), steps=steps):
        return decode(model, batch.inputs, steps=steps)


@contextmanager
def refused_by_name(model: Any, numbered: Iterable[tuple[int, CalibrationSample]], *, steps: int) -> Iterator[None]:
    """Where the model fails inside, it is asked about each sample alone. Plans are to be applied further inside.

    Raises:
        BadInput: it cannot take one of them, as `answered`.
    """
    import torch

    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except _REFUSALS:
        for number, sample in numbered:
            _require_taken(model, sample, number, steps)
        raise


def _require_taken(model: Any, sample: CalibrationSample, number: int, steps: int) -> None:
    try:
        decode(model, collate([sample]), steps=steps)
    except _REFUSALS as error:
        where = place_of(sample, number)
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise BadInput(f"{where}: the model cannot take this sample: {reason}; mend its prompt or its media") from error
