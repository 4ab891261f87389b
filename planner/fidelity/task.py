"""Task accuracy: what the compressed model answers by itself, judged by a metric."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...common.errors import BadInput
from ...common.names import unknown
from ...ir.plan import Plan
from .batches import Batch, batches
from .decoding import pad_token, said
from .features import Features
from .fidelity import NEW_TOKENS, Fidelity, FloatArray, applied, bootstrap_mean
from .refusals import answered, place_of, refused_by_name
from .samples import CalibrationSample
from .word_errors import word_accuracy

if TYPE_CHECKING:
    import torch

Metric = Callable[[str, str], float]

_ALL = slice(None)
_BATCH = 16


def exact_match(answer: str, expected: str) -> float:
    """1 where both say the same, whatever the case and the white space, else 0.

    >>> exact_match(" Two  cats", "two cats"), exact_match("two", "three")
    (1.0, 0.0)
    """
    return float(answer.lower().split() == expected.lower().split())


METRICS: dict[str, Metric] = {"exact": exact_match, "words": word_accuracy}
"""Metrics by name; `words` is one minus the word error rate."""


def metric_of(metric: Metric | str) -> Metric:
    """A metric by its name, or the callable itself.

    Raises:
        BadInput: no metric has that name.
    """
    if callable(metric):
        return metric
    if metric not in METRICS:
        raise unknown("metric", metric, METRICS)
    return METRICS[metric]


def require_answers(samples: Sequence[CalibrationSample], *, kind: str = "calibration sample") -> None:
    """Refuse samples without a right answer.

    Raises:
        BadInput: there is no sample, or one without an answer, which is named by its file and line.
    """
    missing = [place_of(item, number, kind=kind) for number, item in enumerate(samples) if item.answer is None]
    if missing or not samples:
        which = f"{missing[0]} has none" if missing else "there is no sample"
        raise BadInput(f"task accuracy needs samples with answers, but {which}; add an answer to each")


def require_taken(
    model: Any,
    samples: Sequence[CalibrationSample],
    *,
    features: Features,
    part: slice = _ALL,
    batch_size: int = _BATCH,
) -> None:
    """Ask the uncompressed model about a part of `samples`, for one token each; `features` keeps what it encodes.

    Raises:
        BadInput: it cannot take one of them.
    """
    with features.reused(None):
        for batch in _numbered_batches(model, samples, part, batch_size):
            with features.of(batch.rows):
                answered(model, batch, samples, steps=1)


def measure_task(
    model: Any,
    samples: Sequence[CalibrationSample],
    plan: Plan | None,
    *,
    text: Callable[[torch.Tensor], str],
    metric: Metric = exact_match,
    new_tokens: int = NEW_TOKENS,
    batch_size: int = _BATCH,
    part: slice = _ALL,
    features: Features | None = None,
) -> Fidelity:
    """Mean metric of the greedy answers of `model` under `plan`.

    Args:
        samples: every one with an answer. part: which of them are asked.
        text: turns answer ids (T,) into text, such as `lambda ids: tokenizer.decode(ids, skip_special_tokens=True)`.
        features: what was encoded of these samples before, reused and added to.

    Raises:
        BadInput: there is no sample, one without an answer, or one that the model cannot take.
    """
    require_answers(samples)
    kept = features or Features(model)
    asked = range(len(samples))[part]
    spoken: dict[int, torch.Tensor] = {}
    named = refused_by_name(model, ((row, samples[row]) for row in asked), steps=new_tokens)
    with named, kept.reused(plan), applied(model, plan):
        for batch in _numbered_batches(model, samples, part, batch_size):
            with kept.of(batch.rows):
                tokens, mask = said(model, batch.inputs, steps=new_tokens)
            spoken |= {row: ids[heard] for row, ids, heard in zip(batch.rows, tokens, mask, strict=True)}
    return task_fidelity(np.array([metric(text(spoken[row]), samples[row].answer or "") for row in asked], dtype=float))


def _numbered_batches(
    model: Any, samples: Sequence[CalibrationSample], part: slice, batch_size: int
) -> Iterator[Batch]:
    """A part of `samples` in batches, whose rows are indices among all of them."""
    numbers = range(len(samples))[part]
    for batch in batches(samples[part], size=batch_size, pad=pad_token(model)):
        yield Batch(tuple(numbers[row] for row in batch.rows), batch.inputs)


def task_fidelity(scores: FloatArray) -> Fidelity:
    """The mean of `scores` (samples,) and its interval."""
    return Fidelity(float(scores.mean()), bootstrap_mean(scores, np.ones_like(scores)), None, scores, kind="task")
