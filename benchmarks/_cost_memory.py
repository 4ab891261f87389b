"""Peak memory predicted and measured: weights, caches and activations of the cost model's held-out models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from _cost_rows import STEPS, plans_of
from _table import Goal, show

import foveate
from foveate.cost_models import CostModel
from foveate.runtime import resolve
from foveate.runtime.peak_memory import held_bytes, peak_bytes

PLANS = 3
"""Nothing, and two plans at the projector: memory hardly differs between the others."""


@dataclass(frozen=True)
class MemoryRow:
    """Bytes of one model, workload and plan at their peak: predicted, measured, and how many of these are weights."""

    model: str
    workload: str
    plan: str
    predicted: float
    measured: float
    weights: float

    @property
    def error(self) -> float:
        """Predicted over measured, minus one."""
        return self.predicted / self.measured - 1.0

    @property
    def beyond(self) -> float:
        """The same of what comes on top of the weights: caches and activations."""
        return (self.predicted - self.weights) / (self.measured - self.weights) - 1.0


def memory_rows(
    name: str, model: Any, workload: str, inputs: Mapping[str, Any], cost: CostModel
) -> Iterator[MemoryRow]:
    """The first plans of `plans_of` on `model`: a prefill and `STEPS` decode steps of each."""
    graph = foveate.trace(model, workload=workload)
    for label, plan in list(plans_of(graph))[:PLANS]:
        with foveate.apply(model, plan):
            measured = peak_bytes(model, lambda: _answer(model, inputs))
        predicted = cost.predict(resolve(graph, plan)).memory_bytes
        yield MemoryRow(name, workload, label, predicted, measured, held_bytes(model))


def _answer(model: Any, inputs: Mapping[str, Any]) -> None:
    """A prefill and decode steps, as `timed_parts` runs them."""
    with torch.inference_mode():
        output = model(**inputs, use_cache=True, logits_to_keep=1)
        for _ in range(STEPS):
            token = output.logits[:, -1].argmax(-1, keepdim=True)
            output = model(input_ids=token, past_key_values=output.past_key_values, use_cache=True)


def show_memory(rows: Sequence[MemoryRow]) -> None:
    """Largest error by model, of all memory and of what comes on top of the weights."""
    lines = []
    for model in dict.fromkeys(row.model for row in rows):
        mine = [row for row in rows if row.model == model]
        cells = [f"{min(e):+.1%} to {max(e):+.1%}" for e in ([r.error for r in mine], [r.beyond for r in mine])]
        lines.append([model, len(mine), f"{max(row.measured for row in mine) / 1e6:.0f}", *cells])
    columns = ["model", "cases", "peak MB", "predicted / measured - 1", "without the weights"]
    show("Error of the predicted peak memory", columns, lines)


def memory_goals(rows: Sequence[MemoryRow]) -> list[Goal]:
    """The worst case within a fifth; what comes on top of the weights within a factor of two. None without cases."""
    if not rows:
        return []
    worst = float(np.max(np.abs([row.error for row in rows])))
    beyond = float(np.max(np.abs(np.log([1.0 + row.beyond for row in rows]))))
    factor = float(np.exp(beyond))
    return [
        Goal("largest error of peak memory", f"{worst:.1%}", "<= 20 %", worst <= 0.2),
        Goal("caches and activations off by a factor of at most", f"{factor:.2f}", "<= 2", factor <= 2.0),
    ]
