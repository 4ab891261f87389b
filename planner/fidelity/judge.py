"""Judges: what the search asks how good a plan is, on all samples or at a first glance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ...ir.plan import Plan
from .fidelity import NEW_TOKENS, Fidelity, Reference, tally
from .samples import CalibrationSample
from .task import Metric, measure_task, task_fidelity

if TYPE_CHECKING:
    import torch

_GLANCE = 0.25
"""Part of the samples that a first glance looks at."""

_WORTH_SPLITTING = 3
_SMALLEST_BATCH, _LARGEST_BATCH = 4, 16

GiveUp = Callable[[Fidelity], bool]


class Judge(Protocol):
    """Says how good a plan is."""

    @property
    def samples(self) -> int:
        """How many samples it judges on."""
        ...

    def judge(self, plan: Plan, *, give_up: GiveUp | None = None) -> Fidelity | None:
        """The plan's value on all samples.

        Args:
            give_up: asked about the value on the first samples, the same ones for every plan; None is returned where
                it says yes.
        """
        ...


@dataclass(frozen=True)
class FidelityJudge:
    """Judges by fidelity to the uncompressed model, whose answers are computed once."""

    model: Any
    reference: Reference

    @classmethod
    def of(cls, model: Any, samples: Sequence[CalibrationSample], *, new_tokens: int = NEW_TOKENS) -> FidelityJudge:
        """The judge that has heard the uncompressed model's answers to `samples`, in batches to glance at."""
        size = min(_LARGEST_BATCH, max(_SMALLEST_BATCH, round(_GLANCE * len(samples))))
        return cls(model, Reference.of(model, samples, new_tokens=new_tokens, batch_size=size))

    @property
    def samples(self) -> int:
        """How many samples it judges on."""
        return self.reference.samples

    def judge(self, plan: Plan, *, give_up: GiveUp | None = None) -> Fidelity | None:
        """Fidelity on all samples, or None after the first quarter of the batches."""
        few = _few(len(self.reference.batches))
        if give_up is None or few is None:
            return tally(self.model, plan, self.reference).fidelity()
        early = tally(self.model, plan, self.reference.part(slice(few)))
        if give_up(early.fidelity()):
            return None
        return (early + tally(self.model, plan, self.reference.part(slice(few, None)))).fidelity()


@dataclass(frozen=True)
class TaskJudge:
    """Judges by a metric on the answers."""

    model: Any
    asked: Sequence[CalibrationSample]
    metric: Metric
    text: Callable[[torch.Tensor], str]
    new_tokens: int = NEW_TOKENS

    @property
    def samples(self) -> int:
        """How many samples it judges on."""
        return len(self.asked)

    def judge(self, plan: Plan, *, give_up: GiveUp | None = None) -> Fidelity | None:
        """Mean metric on all samples, or None after the first quarter of them."""
        few = _few(len(self.asked))
        if give_up is None or few is None:
            return self._measured(plan, self.asked)
        early = self._measured(plan, self.asked[:few])
        if give_up(early):
            return None
        late = self._measured(plan, self.asked[few:])
        return task_fidelity(np.concatenate([early.per_sample, late.per_sample]))

    def _measured(self, plan: Plan, samples: Sequence[CalibrationSample]) -> Fidelity:
        return measure_task(self.model, samples, plan, text=self.text, metric=self.metric, new_tokens=self.new_tokens)


def _few(total: int) -> int | None:
    """How many of `total` a first glance looks at; None where that would save nothing."""
    return None if total < _WORTH_SPLITTING else max(1, round(total * _GLANCE))
