"""Task accuracy: what the compressed model answers by itself, judged by a metric."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...common.errors import BadInput
from ...common.names import unknown
from ...ir.plan import Plan
from .batches import batches
from .decoding import pad_token, said
from .fidelity import NEW_TOKENS, Fidelity, FloatArray, applied, bootstrap_mean
from .samples import CalibrationSample
from .word_errors import word_accuracy

if TYPE_CHECKING:
    import torch

Metric = Callable[[str, str], float]


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


def measure_task(
    model: Any,
    samples: Sequence[CalibrationSample],
    plan: Plan | None,
    *,
    text: Callable[[torch.Tensor], str],
    metric: Metric = exact_match,
    new_tokens: int = NEW_TOKENS,
    batch_size: int = 16,
) -> Fidelity:
    """Mean metric of the greedy answers of `model` under `plan`.

    Args:
        samples: every one with an answer.
        text: turns answer ids (T,) into text, such as `lambda ids: tokenizer.decode(ids, skip_special_tokens=True)`.

    Raises:
        BadInput: there is no sample, or one without an answer.
    """
    missing = [str(i) for i, sample in enumerate(samples) if sample.answer is None]
    if missing or not samples:
        which = f"sample {missing[0]} has none" if missing else "there is no sample"
        raise BadInput(f"task accuracy needs samples with answers, but {which}; add an answer to each")
    scores = np.zeros(len(samples))
    with applied(model, plan):
        for batch in batches(samples, size=batch_size, pad=pad_token(model)):
            tokens, mask = said(model, batch.inputs, steps=new_tokens)
            for row, ids, spoken in zip(batch.rows, tokens, mask, strict=True):
                scores[row] = metric(text(ids[spoken]), samples[row].answer or "")
    return task_fidelity(scores)


def task_fidelity(scores: FloatArray) -> Fidelity:
    """The mean of `scores` (samples,) and its interval."""
    return Fidelity(float(scores.mean()), bootstrap_mean(scores, np.ones_like(scores)), None, scores, kind="task")
