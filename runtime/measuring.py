"""Measuring plans on a live model: interleaved, paired by round, medians with intervals."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ..common.errors import BadInput
from ..common.timing import Interval, median_interval, ratio_interval, round_order
from ..ir.plan import Plan
from .handle import apply
from .native import native_prefill

Samples = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Figures:
    """What one contestant took.

    Attributes:
        ttft_ms: median time from inputs on the host to the first logits; `ttft_interval` is its 95 % interval.
        ttft_samples: (rounds,) ms, in order of rounds, so that contestants can be paired.
        tpot_ms: median time of one later token, None where no tokens were asked for.
        kv_bytes: bytes of keys and values after the prefill.
        peak_bytes: peak memory of the prefill on a CUDA device, None elsewhere.
        n: rounds measured.
    """

    ttft_ms: float
    ttft_interval: tuple[float, float]
    ttft_samples: Samples
    tpot_ms: float | None
    kv_bytes: int
    peak_bytes: int | None
    n: int


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
    inputs = {name: value for name, value in inputs.items() if value is not None}
    contestants = {name: _Contestant(model, inputs, plan, new_tokens) for name, plan in plans.items()}
    for name in native:
        limit = contestants[f"{name} native"] = _Contestant(model, inputs, None, new_tokens)
        limit.prefill = native_prefill(model, inputs, plans[name] or Plan(()))
    names = tuple(contestants)
    with torch.inference_mode():
        for turn in range(warmup + rounds):
            for name in round_order(names, turn):
                contestants[name].run(record=turn >= warmup)
    return {name: contestant.figures() for name, contestant in contestants.items()}


def ratio(numerator: Figures, denominator: Figures) -> Interval:
    """Median and 95 % interval of the ratio of two TTFTs that were measured in the same rounds."""
    return ratio_interval(numerator.ttft_samples, denominator.ttft_samples)


class _Contestant:
    """One way to run the model, and the times that it took so far."""

    def __init__(self, model: nn.Module, inputs: Mapping[str, Any], plan: Plan | None, new_tokens: int) -> None:
        self.model, self.inputs, self.plan, self.new_tokens = model, inputs, plan, new_tokens
        self.prefill: Callable[[Mapping[str, Any]], Any] = lambda moved: model(
            **moved, use_cache=True, logits_to_keep=1
        )
        self.ttft: list[float] = []
        self.tpot: list[float] = []
        self.unpadded = "attention_mask" not in inputs or bool(inputs["attention_mask"].all())
        self.kv_bytes = 0
        self.peak_bytes: int | None = None

    def run(self, *, record: bool) -> None:
        """One prefill and its decoding steps. Applying the plan is not timed: it happens once in real use."""
        device = next(self.model.parameters()).device
        with apply(self.model, self.plan) if self.plan is not None else nullcontext():
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
            first, output = _timed(lambda: self._prefill(device), device)
            self.kv_bytes = cache_bytes(output.past_key_values)
            steps = self._decode(output, device) if self.new_tokens else None
        if device.type == "cuda":
            self.peak_bytes = max(self.peak_bytes or 0, torch.cuda.max_memory_allocated(device))
        if record:
            self.ttft.append(first)
            if steps is not None:
                self.tpot.append(steps)

    def _prefill(self, device: torch.device) -> Any:
        # From the host: moving the processor's outputs to the device is part of the time to the first token.
        moved = {n: v.to(device) if isinstance(v, torch.Tensor) else v for n, v in self.inputs.items()}
        output = self.prefill(moved)
        self._next = output.logits[:, -1].argmax(-1, keepdim=True)
        return output

    def _decode(self, output: Any, device: torch.device) -> float:
        token, cache = self._next, output.past_key_values
        mask = None if self.unpadded else self.inputs["attention_mask"].to(device)

        def steps() -> None:
            nonlocal token, mask
            for _ in range(self.new_tokens):
                if mask is not None:
                    mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
                result = self.model(input_ids=token, attention_mask=mask, past_key_values=cache, use_cache=True)
                token = result.logits[:, -1].argmax(-1, keepdim=True)

        return _timed(steps, device)[0] / self.new_tokens

    def figures(self) -> Figures:
        """The medians of what was recorded."""
        samples = np.array(self.ttft)
        middle = median_interval(samples)
        return Figures(
            ttft_ms=middle.median,
            ttft_interval=(middle.low, middle.high),
            ttft_samples=samples,
            tpot_ms=float(np.median(self.tpot)) if self.tpot else None,
            kv_bytes=self.kv_bytes,
            peak_bytes=self.peak_bytes,
            n=len(samples),
        )


def cache_bytes(cache: Any) -> int:
    """Bytes of keys and values that a cache holds."""
    layers = [layer for layer in cache.layers if layer.is_initialized]
    return sum(t.numel() * t.element_size() for layer in layers for t in (layer.keys, layer.values))


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
