"""Timing that survives a noisy machine: interleaved rounds, medians, bootstrap intervals."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import BadInput
from .kept_memory import kept_memory

FloatArray = NDArray[np.float64]


class Interval(NamedTuple):
    """A median with the bounds of its bootstrap interval, in the unit of the samples."""

    median: float
    low: float
    high: float


def interleave(
    functions: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    warmup: int = 1,
    synchronize: Callable[[], object] | None = None,
) -> dict[str, FloatArray]:
    """Time every function once a round, in an order that changes each round so that drift cancels.

    Args:
        functions: what to time, by name.
        rounds: timed rounds; sample i of every function comes from round i, so samples are paired.
        warmup: rounds run before that and not timed.
        synchronize: waits for the device (`torch.cuda.synchronize`); called before and after every timed call.

    Returns:
        Seconds by name: float64 arrays of shape (rounds,).

    >>> samples = interleave({"a": lambda: None, "b": lambda: None}, rounds=3)
    >>> {name: taken.shape for name, taken in samples.items()}
    {'a': (3,), 'b': (3,)}
    """
    if rounds < 1 or warmup < 0:
        raise BadInput(f"cannot time {rounds} rounds after {warmup} warm-up rounds: give rounds >= 1 and warmup >= 0.")
    names = tuple(functions)
    samples = {name: np.empty(rounds, dtype=np.float64) for name in names}
    with kept_memory():
        for turn in range(-warmup, rounds):
            for name in round_order(names, turn + warmup):
                seconds = _seconds(functions[name], synchronize)
                if turn >= 0:
                    samples[name][turn] = seconds
    return samples


def median_interval(samples: ArrayLike, *, confidence: float = 0.95, resamples: int = 2000, seed: int = 0) -> Interval:
    """Return the median of `samples` (n,) and its percentile-bootstrap interval (Efron 1979).

    >>> median_interval([3.0, 3.0, 3.0])
    Interval(median=3.0, low=3.0, high=3.0)
    """
    values = np.asarray(samples, dtype=np.float64).reshape(-1)
    if values.size == 0 or resamples < 1 or not 0.0 < confidence < 1.0:
        raise BadInput("a median interval needs at least one sample, one resample, and a confidence between 0 and 1.")
    picks = np.random.default_rng(seed).integers(values.size, size=(resamples, values.size))
    medians = np.median(values[picks], axis=1)
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(medians, (tail, 1.0 - tail))
    return Interval(float(np.median(values)), float(low), float(high))


def ratio_interval(
    numerator: ArrayLike,
    denominator: ArrayLike,
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Return the median of numerator / denominator, paired by round, and its bootstrap interval.

    A slow minute of the machine hits both halves of a pair, so it leaves their ratio alone.

    >>> ratio_interval([1.0, 10.0, 2.0], [2.0, 20.0, 4.0])
    Interval(median=0.5, low=0.5, high=0.5)
    """
    above = np.asarray(numerator, dtype=np.float64).reshape(-1)
    below = np.asarray(denominator, dtype=np.float64).reshape(-1)
    if above.size != below.size:
        raise BadInput(f"cannot pair {above.size} samples with {below.size}: time both in the same rounds.")
    return median_interval(above / below, confidence=confidence, resamples=resamples, seed=seed)


@contextmanager
def fixed_threads(count: int) -> Iterator[None]:
    """Run torch on `count` CPU threads inside the block, and on as many as before after it."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def round_order(names: Sequence[str], turn: int) -> Sequence[str]:
    """The order of round `turn`: rotated every second round, the odd ones mirrored.

    So each name leads, trails and follows each other one.
    """
    shift = (turn // 2) % max(len(names), 1)
    rotated = [*names[shift:], *names[:shift]]
    return rotated[::-1] if turn % 2 else rotated


def _seconds(function: Callable[[], object], synchronize: Callable[[], object] | None) -> float:
    if synchronize is not None:
        synchronize()
    start = time.perf_counter()
    function()
    if synchronize is not None:
        synchronize()
    return time.perf_counter() - start
