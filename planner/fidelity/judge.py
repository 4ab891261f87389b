"""Judges: what the search asks how good a plan is, on all samples or at a look at some of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ...ir.plan import Plan
from .features import Features
from .fidelity import NEW_TOKENS, Fidelity, Reference, Tally, tally
from .samples import CalibrationSample
from .task import Metric, measure_task, require_answers, require_taken, task_fidelity

if TYPE_CHECKING:
    import torch

LOOKS = (0.25, 0.5)
"""Parts of the samples after which a judge asks whether to give up; the third look is at all of them."""

_WORTH_SPLITTING = 3
_SMALLEST_BATCH, _LARGEST_BATCH = 4, 16

GiveUp = Callable[[Fidelity], bool]


class Judge(Protocol):
    """Says how good a plan is; what it has measured of a plan it does not measure again."""

    @property
    def samples(self) -> int:
        """How many samples it judges on."""
        ...

    def judge(self, plan: Plan, *, give_up: GiveUp | None = None) -> Fidelity | None:
        """The plan's value on all samples.

        Args:
            give_up: asked about the value on the first quarter of the samples and on the first half, the same ones
                for every plan; None is returned where it says yes.
        """
        ...


@dataclass(frozen=True)
class FidelityJudge:
    """Judges by fidelity to the uncompressed model, whose answers are computed once."""

    model: Any
    reference: Reference
    _seen: dict[str, list[Tally]] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, model: Any, samples: Sequence[CalibrationSample], *, new_tokens: int = NEW_TOKENS) -> FidelityJudge:
        """The judge that has heard the uncompressed model's answers to `samples`, in batches to look at in turn."""
        size = min(_LARGEST_BATCH, max(_SMALLEST_BATCH, round(LOOKS[0] * len(samples))))
        return cls(model, Reference.of(model, samples, new_tokens=new_tokens, batch_size=size))

    @property
    def samples(self) -> int:
        """How many samples it judges on."""
        return self.reference.samples

    def judge(self, plan: Plan, *, give_up: GiveUp | None = None) -> Fidelity | None:
        """Fidelity on all samples, or None where `give_up` says so after an earlier look."""
        seen = self._seen.setdefault(repr(plan.placements), [])
        looks = _looks(len(self.reference.batches))
        for number, part in enumerate(looks, start=1):
            if number > len(seen):
                seen.append(tally(self.model, plan, self.reference.part(part)))
            if give_up and number < len(looks) and give_up(sum(seen[1:number], start=seen[0]).fidelity()):
                return None
        return sum(seen[1:], start=seen[0]).fidelity()


@dataclass(frozen=True)
class TaskJudge:
    """Judges by a metric on the answers; what the encoders made of the samples is kept in `features`."""

    model: Any
    asked: Sequence[CalibrationSample]
    features: Features
    metric: Metric
    text: Callable[[torch.Tensor], str]
    new_tokens: int = NEW_TOKENS
    _seen: dict[str, list[Fidelity]] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(
        cls,
        model: Any,
        samples: Sequence[CalibrationSample],
        metric: Metric,
        text: Callable[[torch.Tensor], str],
        *,
        new_tokens: int = NEW_TOKENS,
    ) -> TaskJudge:
        """The judge on `samples`, all of which the uncompressed model has been asked about.

        Raises:
            BadInput: one has no answer, or the model cannot take it.
        """
        require_answers(samples)
        features = Features(model)
        for part in _looks(len(samples)):
            require_taken(model, samples, features=features, part=part)
        return cls(model, samples, features, metric, text, new_tokens)

    @property
    def samples(self) -> int:
        """How many samples it judges on."""
        return len(self.asked)

    def judge(self, plan: Plan, *, give_up: GiveUp | None = None) -> Fidelity | None:
        """Mean metric on all samples, or None where `give_up` says so after an earlier look."""
        seen = self._seen.setdefault(repr(plan.placements), [])
        looks = _looks(len(self.asked))
        for number, part in enumerate(looks, start=1):
            if number > len(seen):
                seen.append(self._measured(plan, part))
            if give_up and number < len(looks) and give_up(_joined(seen[:number])):
                return None
        return _joined(seen)

    def _measured(self, plan: Plan, part: slice) -> Fidelity:
        asking: dict[str, Any] = {"part": part, "features": self.features, "new_tokens": self.new_tokens}
        return measure_task(self.model, self.asked, plan, text=self.text, metric=self.metric, **asking)


def _joined(parts: Sequence[Fidelity]) -> Fidelity:
    return parts[0] if len(parts) == 1 else task_fidelity(np.concatenate([part.per_sample for part in parts]))


def _looks(total: int) -> tuple[slice, ...]:
    """The parts of `total` that are measured one after the other; a single one where looks would save nothing.

    >>> _looks(10)
    (slice(0, 2, None), slice(2, 5, None), slice(5, 10, None))
    """
    ends = [max(1, round(total * part)) for part in LOOKS] if total >= _WORTH_SPLITTING else []
    cuts = sorted({0, *ends, total})
    return tuple(slice(first, last) for first, last in pairwise(cuts))
