from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
import torch

from foveate.common import timing
from foveate.common.errors import BadInput
from foveate.common.timing import fixed_threads, interleave, median_interval, ratio_interval


def _recorded(names: str, **settings: int) -> list[str]:
    calls: list[str] = []
    interleave({name: lambda name=name: calls.append(name) for name in names}, **settings)  # type: ignore[misc]
    return calls


def test_each_round_calls_each_function_once_and_warmup_comes_on_top() -> None:
    calls = _recorded("abc", rounds=4, warmup=2)
    rounds = [sorted(calls[start : start + 3]) for start in range(0, len(calls), 3)]
    assert rounds == [["a", "b", "c"]] * 6


@pytest.mark.parametrize("names", ["ab", "abc", "abcd"])
def test_every_function_has_every_place_equally_often(names: str) -> None:
    size = len(names)
    calls = _recorded(names, rounds=2 * size, warmup=0)
    places = Counter((name, index % size) for index, name in enumerate(calls))
    assert set(places.values()) == {2}
    assert len(places) == size * size


def test_linear_drift_cancels_in_the_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock whose calls take longer and longer, as on a machine that heats up, gives equal means."""
    ticks = itertools.count()
    monkeypatch.setattr(timing.time, "perf_counter", lambda: float(next(ticks)) ** 2)
    samples = interleave({"a": lambda: None, "b": lambda: None}, rounds=4, warmup=0)
    assert samples["a"].mean() == samples["b"].mean()
    assert samples["a"][-1] > samples["a"][0]


def test_synchronize_frames_every_call() -> None:
    calls: list[str] = []
    interleave({"a": lambda: calls.append("a")}, rounds=2, warmup=0, synchronize=lambda: calls.append("sync"))
    assert calls == ["sync", "a", "sync"] * 2


def test_no_rounds_are_refused() -> None:
    with pytest.raises(BadInput, match="rounds >= 1"):
        interleave({"a": lambda: None}, rounds=0)


def test_the_interval_covers_the_true_median_as_often_as_it_says() -> None:
    draws = np.random.default_rng(0).lognormal(size=(200, 41))  # true median 1
    intervals = [median_interval(row, resamples=300, seed=index) for index, row in enumerate(draws)]
    covered = np.mean([interval.low <= 1.0 <= interval.high for interval in intervals])
    assert 0.88 <= covered <= 1.0
    wide = np.mean([interval.high - interval.low for interval in intervals])
    narrow = np.mean([np.subtract(*median_interval(row, confidence=0.5, resamples=300)[:0:-1]) for row in draws])
    assert narrow < 0.6 * wide


def test_the_interval_repeats_with_its_seed() -> None:
    samples = np.random.default_rng(1).normal(size=20)
    assert median_interval(samples, seed=3) == median_interval(samples, seed=3)
    assert median_interval(samples).median == np.median(samples)


def test_pairing_removes_what_hits_both() -> None:
    """Rounds that differ tenfold give a sharp ratio when paired; the ratio of their medians would be blurred."""
    slow_minutes = np.random.default_rng(2).uniform(1.0, 10.0, size=30)
    ratio = ratio_interval(0.6 * slow_minutes, slow_minutes)
    np.testing.assert_allclose(ratio, [0.6, 0.6, 0.6], rtol=1e-12)


def test_samples_that_cannot_be_used_are_refused() -> None:
    with pytest.raises(BadInput, match="cannot pair 2 samples with 3"):
        ratio_interval([1.0, 2.0], [1.0, 2.0, 3.0])
    with pytest.raises(BadInput, match="at least one sample"):
        median_interval([])


def test_threads_are_set_inside_and_put_back_after_an_error() -> None:
    before = torch.get_num_threads()
    inside = 1 if before > 1 else 2
    seen: list[int] = []

    def fail_inside() -> None:
        with fixed_threads(inside):
            seen.append(torch.get_num_threads())
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        fail_inside()
    assert seen == [inside]
    assert torch.get_num_threads() == before
