"""Time to the first token of 7 B shapes: plain, with a plan on torch, on the library's kernels, emitted, and native."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _seven_billion import CASES, DTYPE

import foveate
from foveate.common.timing import FloatArray, round_order
from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.kernels.dispatch import eager
from foveate.runtime.emission import emit, load
from foveate.runtime.native import native

PLAN = Plan.of(Placement("divprune", "image.projector.output", 0.25))


@dataclass(frozen=True)
class Prefills:
    """Seconds of each way, (rounds,) paired by round, and of the emitted choice alone."""

    model: str
    seconds: dict[str, FloatArray]
    choice: FloatArray

    def over(self, way: str, other: str) -> float:
        """Median ratio of two ways' times."""
        return float(np.median(self.seconds[way] / self.seconds[other]))

    @property
    def share(self) -> float:
        """The emitted choice's part of the plain prefill."""
        return float(np.median(self.choice) / np.median(self.seconds["plain"]))


def prefills(*, toy: bool, rounds: int) -> Iterator[Prefills]:
    """Both models in turn; one is in memory at a time."""
    for name, make in CASES.items():
        model, workload, inputs = make(64, toy)
        with torch.inference_mode():
            yield _of_model(name, model, workload, inputs, rounds)
        del model, inputs


def _of_model(name: str, model: Any, workload: str, inputs: Mapping[str, Any], rounds: int) -> Prefills:
    graph = foveate.trace(model.config, workload)
    limit = native(model, inputs, PLAN)
    run: Callable[[], Any] = partial(model, **inputs, use_cache=True, logits_to_keep=1)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "kernels"
        made = emit(PLAN, graph, folder=folder, dtype=DTYPE)
        ways: dict[str, tuple[Callable[[], AbstractContextManager[Any]], Callable[[], Any]]] = {
            "plain": (nullcontext, run),
            "eager": (partial(_eagerly, model), run),
            "library": (partial(foveate.apply, model, PLAN), run),
            "emitted": (partial(foveate.apply, model, PLAN, kernels=folder), run),
            "native": (nullcontext, partial(limit.prefill, inputs)),
        }
        seconds = _timed(ways, rounds)
        shape = (1, made.sites[0].tokens_in, made.sites[0].width)
        tokens = torch.randn(shape, device=model.device).to(getattr(torch, DTYPE))
        choose = partial(load(folder, PLAN).module.select_0, tokens)
        choice = _timed({"choice": (nullcontext, choose)}, rounds)["choice"]
    return Prefills(name, seconds, choice)


def _eagerly(model: Any) -> AbstractContextManager[Any]:
    """The plan with every kernel's torch way."""
    stack = ExitStack()
    stack.enter_context(eager())
    stack.enter_context(foveate.apply(model, PLAN))
    return stack


def _timed(ways: Mapping[str, tuple[Callable[[], AbstractContextManager[Any]], Callable[[], Any]]], rounds: int) -> Any:
    """Interleaved rounds after one of warming up; entering a way's context is not timed."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name in round_order(tuple(ways), turn):
            context, run = ways[name]
            with context():
                _wait()
                start = time.perf_counter()
                run()
                _wait()
                found[name].append(time.perf_counter() - start)
    return {name: np.array(samples[1:]) for name, samples in found.items()}


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
