"""Fidelity: how closely the compressed model follows the uncompressed one over its answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...common.errors import BadInput
from ...ir.plan import Plan
from ...runtime import apply
from .batches import Batch, batches
from .decoding import decode, pad_token
from .features import Features
from .refusals import answered
from .samples import CalibrationSample

if TYPE_CHECKING:
    import torch

FloatArray = npt.NDArray[np.float64]

NEW_TOKENS = 5
_RESAMPLES = 2000


@dataclass(frozen=True)
class Fidelity:
    """How faithful a compressed model is.

    Attributes:
        value: exp(-mean KL per answer token), 1 for the uncompressed model; or a task's mean metric.
        interval: its 95 % bootstrap interval, resampled by sample.
        top1: part of the answer tokens at which both models rank the same token first; None for a task.
        per_sample: the same value for each sample alone, (samples,).
        kind: `measured` or `task`.
    """

    value: float
    interval: tuple[float, float]
    top1: float | None
    per_sample: FloatArray
    kind: str = "measured"

    @property
    def score(self) -> float:
        """What plans are ranked by: the mean of `per_sample`, or a prior's value.

        A divergence has no upper limit, so a few answers can decide `value`; of one sample's fidelity none can. On the
        testbeds accuracy follows it more closely.
        """
        return self.value if self.kind == "prior" else float(self.per_sample.mean())


@dataclass(frozen=True)
class ReferenceBatch:
    """The uncompressed model's answer to one batch: tokens and mask (B, T), log-probabilities (B, T, V) float32.

    The inputs of an encoder-decoder's batch hold the tokens that its decoder started from.
    """

    batch: Batch
    tokens: torch.Tensor
    mask: torch.Tensor
    log_probs: torch.Tensor


@dataclass(frozen=True)
class Reference:
    """The uncompressed model's answers to all samples and its encoder outputs, computed once for every plan."""

    batches: tuple[ReferenceBatch, ...]
    samples: int
    features: Features

    @classmethod
    def of(
        cls, model: Any, samples: Sequence[CalibrationSample], *, new_tokens: int = NEW_TOKENS, batch_size: int = 16
    ) -> Reference:
        """Greedy answers of `model`, at most `new_tokens` tokens, the end token included.

        Raises:
            BadInput: no samples, or one that the model cannot take.
        """
        if not samples:
            raise BadInput("fidelity needs at least one calibration sample")
        parts, features = [], Features(model)
        for batch in batches(samples, size=batch_size, pad=pad_token(model)):
            with features.reused(None), features.of(batch.rows):
                answer = answered(model, batch, samples, steps=new_tokens)
            forcing = batch if answer.prompt is None else batch.started(answer.prompt)
            parts.append(ReferenceBatch(forcing, answer.tokens, answer.mask, answer.log_probs))
        return cls(tuple(parts), len(samples), features)

    def part(self, chosen: slice) -> Reference:
        """Some of the batches."""
        kept = self.batches[chosen]
        return Reference(kept, sum(len(item.batch.rows) for item in kept), self.features)


@dataclass(frozen=True)
class Tally:
    """Sums over the answer tokens of each sample, (samples,): KL divergence, agreements, and the tokens themselves."""

    rows: npt.NDArray[np.int64]
    divergence: FloatArray
    agreement: FloatArray
    tokens: FloatArray

    def __add__(self, other: Tally) -> Tally:
        pairs = ((getattr(self, name), getattr(other, name)) for name in ("rows", "divergence", "agreement", "tokens"))
        return Tally(*(np.concatenate(pair) for pair in pairs))

    def fidelity(self) -> Fidelity:
        """The figures over all samples; `per_sample` in the order of the samples."""
        order = np.argsort(self.rows)
        divergence, tokens = self.divergence[order], self.tokens[order]
        low, high = bootstrap_mean(divergence, tokens)
        return Fidelity(
            value=float(np.exp(-divergence.sum() / tokens.sum())),
            interval=(float(np.exp(-high)), float(np.exp(-low))),
            top1=float(self.agreement.sum() / tokens.sum()),
            per_sample=np.exp(-divergence / tokens),
        )


def measure_fidelity(
    model: Any, samples: Sequence[CalibrationSample], plan: Plan | None, *, reference: Reference | None = None
) -> Fidelity:
    """Fidelity of `model` under `plan` on `samples`.

    The prompt is prefilled under the plan, then the uncompressed model's answer is fed through the cache token by
    token, so that a pass which reads the last row never sees the answer. An encoder-decoder is fed it at once
    (`encoder_decoder.log_probs`).

    Args:
        samples: used to make the reference where none is given.
        plan: None or a plan without placements is the uncompressed model itself: exactly 1.
        reference: from `Reference.of`, to compute it once for many plans.

    Raises:
        BadInput: no samples, or the plan does not fit the model.
    """
    return tally(model, plan, reference or Reference.of(model, samples)).fidelity()


def tally(model: Any, plan: Plan | None, reference: Reference) -> Tally:
    """What `measure_fidelity` sums up, so that a measurement can be made in parts."""
    with reference.features.reused(plan), applied(model, plan):
        parts = [_tally_batch(model, part, reference.features) for part in reference.batches]
    return sum(parts[1:], start=parts[0])


def _tally_batch(model: Any, part: ReferenceBatch, features: Features) -> Tally:
    with features.of(part.batch.rows):
        answer = decode(model, part.batch.inputs, steps=part.tokens.shape[1], forced=part.tokens)
    mask = part.mask.to(answer.log_probs.dtype)
    same = answer.log_probs.argmax(dim=-1) == part.log_probs.argmax(dim=-1)
    divergence = _divergence(part.log_probs, answer.log_probs) * mask
    sums = (values.sum(dim=1).double().cpu().numpy() for values in (divergence, same * mask, mask))
    return Tally(np.array(part.batch.rows), *sums)


def applied(model: Any, plan: Plan | None) -> AbstractContextManager[object]:
    """`plan` applied to `model`, or nothing where it has no placements."""
    return apply(model, plan) if plan is not None and plan.placements else nullcontext()


def bootstrap_mean(values: FloatArray, weights: FloatArray, *, seed: int = 0) -> tuple[float, float]:
    """95 % percentile-bootstrap interval of sum(values) / sum(weights), resampled by entry (Efron 1979)."""
    picks = np.random.default_rng(seed).integers(values.size, size=(_RESAMPLES, values.size))
    means = values[picks].sum(axis=1) / weights[picks].sum(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def likely_ahead(gains: FloatArray, *, by: float = 1.0) -> bool:
    """Whether the mean of `gains` (samples,), paired by sample, is above zero by more than `by` standard errors.

    >>> likely_ahead(np.array([0.1, 0.1, -0.1, 0.2])), likely_ahead(np.array([0.1, -0.1]))
    (True, False)
    """
    if len(gains) < 2:
        return bool(gains.sum() > 0)
    return bool(gains.mean() > by * gains.std(ddof=1) / math.sqrt(len(gains)))


def _divergence(reference: torch.Tensor, compressed: torch.Tensor) -> torch.Tensor:
    """KL(reference || compressed) over the vocabulary, (B, T); words that the reference rules out count nothing."""
    terms = reference.exp() * (reference - compressed)
    return terms.where(reference.isfinite(), terms.new_zeros(())).sum(dim=-1).clamp_min(0.0)
