"""Measuring plans on a live model: interleaved, paired by round, medians with intervals."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ..common.errors import BadInput
from ..common.garbage import quick_collections
from ..common.kept_memory import kept_memory
from ..common.timing import Interval, median_interval, ratio_interval, round_order
from ..ir.plan import Plan
from .adapters import live_part
from .handle import apply
from .native import Native
from .native import native as native_limit
from .peak_memory import peak_bytes
from .stepping import Prefilled, cache_bytes, stepper

Samples = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Figures:
    """What one contestant took.

    Attributes:
        ttft_ms: median time from inputs on the host to the first logits; `ttft_interval` is its 95 % interval.
        ttft_samples: (rounds,) ms, in order of rounds, so that contestants can be paired.
        tpot_ms: median time of one later token, None where no tokens were asked for; `tpot_samples` as for TTFT, empty
            where there are none.
        kv_bytes: bytes of keys and values after the prefill.
        peak_bytes: most bytes that tensors held in the prefill, weights included (see `runtime.peak_memory`).
        n: rounds measured.
    """

    ttft_ms: float
    ttft_interval: tuple[float, float]
    ttft_samples: Samples
    tpot_ms: float | None
    kv_bytes: int
    peak_bytes: int
    n: int
    tpot_samples: Samples = field(default_factory=lambda: np.empty(0))

    @classmethod
    def of(cls, ttft: Samples, tpot: Samples, *, kv_bytes: int, peak_bytes: int) -> Figures:
        """The figures of so many rounds; `tpot` may be empty."""
        middle = median_interval(ttft)
        return cls(
            ttft_ms=middle.median,
            ttft_interval=(middle.low, middle.high),
            ttft_samples=ttft,
            tpot_ms=float(np.median(tpot)) if tpot.size else None,
            kv_bytes=kv_bytes,
            peak_bytes=peak_bytes,
            n=len(ttft),
            tpot_samples=tpot,
        )

    def then(self, later: Figures) -> Figures:
        """These rounds and `later` ones of the same contestant."""
        return Figures.of(
            np.concatenate([self.ttft_samples, later.ttft_samples]),
            np.concatenate([self.tpot_samples, later.tpot_samples]),
            kv_bytes=max(self.kv_bytes, later.kv_bytes),
            peak_bytes=max(self.peak_bytes, later.peak_bytes),
        )


@dataclass(frozen=True)
class Measurement:
    """A plan beside the uncompressed model and, where asked for, beside the native decoder.

    `ratio` is the plan's TTFT over the uncompressed model's, paired by round.
    """

    plain: Figures
    plan: Figures | None
    native: Figures | None
    ratio: Interval | None
    over_native: Interval | None


def measure(
    model: nn.Module,
    inputs: Mapping[str, Any],
    *,
    plan: Plan | None = None,
    rounds: int = 11,
    warmup: int = 2,
    new_tokens: int = 8,
    native: bool = False,
) -> Measurement:
    """Measure `plan` against the uncompressed model on one input, interleaved in this process.

    Args:
        model: a live model; `inputs`: what its processor returns (input_ids, attention_mask, pixel_values, ...).
        rounds: measured rounds after `warmup` rounds. new_tokens: decoding steps for TPOT, 0 for none.
        native: also measure the same encoder with a decoder fed only the embeddings that the plan keeps, the limit
            of what the plan can reach.

    Raises:
        BadInput: a plan is already applied to the model, or the plan does not fit it.
    """
    plans: dict[str, Plan | None] = {"plain": None} | ({"plan": plan} if plan is not None else {})
    limits = ("plan",) if native and plan is not None else ()
    found = compare(model, inputs, plans, rounds=rounds, warmup=warmup, new_tokens=new_tokens, native=limits)
    mine, limit = found.get("plan"), found.get("plan native")
    return Measurement(
        found["plain"],
        mine,
        limit,
        None if mine is None else ratio(mine, found["plain"]),
        None if mine is None or limit is None else ratio(mine, limit),
    )


def compare(
    model: nn.Module,
    inputs: Mapping[str, Any],
    plans: Mapping[str, Plan | None],
    *,
    rounds: int = 11,
    warmup: int = 2,
    new_tokens: int = 0,
    native: tuple[str, ...] = (),
) -> dict[str, Figures]:
    """Measure several plans on one input, interleaved: every round runs each of them once, in alternating order.

    Args:
        plans: by name; None is the uncompressed model. native: names of plans to measure the native limit of too,
            reported under `NAME native`.

    Raises:
        BadInput: no plans or rounds, a plan that does not fit, or one already applied.
    """
    if not plans or rounds < 1:
        raise BadInput("measuring needs at least one plan and one round")
    model = live_part(model)
    inputs = {name: value for name, value in inputs.items() if value is not None}
    contestants = {name: _Contestant(model, inputs, plan, new_tokens) for name, plan in plans.items()}
    for name in native:
        limit = native_limit(model, inputs, plans[name] or Plan(()))
        contestants[f"{name} native"] = _Contestant(model, inputs, None, new_tokens, limit)
    names = tuple(contestants)
    with torch.inference_mode(), kept_memory(), quick_collections() as collect:
        for contestant in contestants.values():
            contestant.weigh()
        for turn in range(warmup + rounds):
            collect()
            for name in round_order(names, turn):
                contestants[name].run(record=turn >= warmup)
    return {name: contestant.figures() for name, contestant in contestants.items()}


def ratio(numerator: Figures, denominator: Figures) -> Interval:
    """Median and 95 % interval of the ratio of two TTFTs that were measured in the same rounds."""
    return ratio_interval(numerator.ttft_samples, denominator.ttft_samples)


class _Contestant:
    """One way to run the model, and the times that it took so far."""

    def __init__(
        self,
        model: nn.Module,
        inputs: Mapping[str, Any],
        plan: Plan | None,
        new_tokens: int,
        limit: Native | None = None,
    ) -> None:
        self.model, self.inputs, self.plan, self.new_tokens = model, inputs, plan, new_tokens
        self.stepper = stepper(model, None if limit is None else limit.prefill)
        self.mask = inputs.get("attention_mask") if limit is None else limit.mask
        self.mask = None if self.mask is None or bool(self.mask.all()) else self.mask
        self.device = next(parameter.device for parameter in model.parameters() if not parameter.is_meta)
        self.ttft: list[float] = []
        self.tpot: list[float] = []
        self.kv_bytes = 0
        self.peak_bytes = 0

    def weigh(self) -> None:
        """Measure the prefill's peak memory, apart from the timed rounds: counting slows a run down."""
        with self._applied():
            self.peak_bytes = peak_bytes(self.model, self._prefill)

    def run(self, *, record: bool) -> None:
        """One prefill and its decoding steps. Applying the plan is not timed: it happens once in real use."""
        with self._applied():
            first, state = _timed(self._prefill, self.device)
            self.kv_bytes = cache_bytes(state.cache)
            steps = self._decode(state) if self.new_tokens else None
        if record:
            self.ttft.append(first)
            if steps is not None:
                self.tpot.append(steps)

    def _applied(self) -> AbstractContextManager[Any]:
        return apply(self.model, self.plan) if self.plan is not None else nullcontext()

    def _prefill(self) -> Prefilled:
        # From the host: moving the processor's outputs to the device is part of the time to the first token.
        moved = {n: v.to(self.device) if isinstance(v, torch.Tensor) else v for n, v in self.inputs.items()}
        return self.stepper.prefill(moved)

    def _decode(self, state: Prefilled) -> float:
        mask = None if self.mask is None else self.mask.to(self.device)

        def steps() -> None:
            nonlocal mask
            for _ in range(self.new_tokens):
                if mask is not None:
                    mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
                self.stepper.step(state, mask)

        return _timed(steps, self.device)[0] / self.new_tokens

    def figures(self) -> Figures:
        """The medians of what was recorded."""
        ttft, tpot = np.array(self.ttft), np.array(self.tpot)
        return Figures.of(ttft, tpot, kv_bytes=self.kv_bytes, peak_bytes=self.peak_bytes)


def _timed(run: Callable[[], Any], device: torch.device) -> tuple[float, Any]:
    """(milliseconds, result), with the device's queue empty at both ends."""
    _synchronize(device)
    start = time.perf_counter()
    result = run()
    _synchronize(device)
    return (time.perf_counter() - start) * 1e3, result


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
