"""Marks of the planner's contest: means and paired intervals against the testbed's own bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
from benchmark_packages import load_script

from foveate.testbed.evaluate import paired_bootstrap

module = load_script("_marks")
Marks = module.Marks


def test_questions_are_compared_as_the_testbed_compares_them() -> None:
    random = np.random.default_rng(0)
    scenes = tuple(np.repeat(np.arange(40), random.integers(1, 9, 40)).tolist())
    first, second = (random.random(len(scenes)) < chance for chance in (0.8, 0.6))
    ours = [Marks(tuple(map(float, right)), (1.0,) * len(scenes), scenes) for right in (first, second)]
    found = ours[0].gain(ours[1])
    assert found == pytest.approx(
        paired_bootstrap(first.tolist(), second.tolist(), scenes, resamples=module._RESAMPLES)
    )
    assert ours[0].mean == pytest.approx(first.mean())


def test_windows_count_by_their_words() -> None:
    whole = (100.0, 10.0)
    first, second = Marks((90.0, 0.0), whole, (0, 1)), Marks((80.0, 10.0), whole, (0, 1))
    assert first.mean == second.mean == pytest.approx(90 / 110)
    gain, low, high = first.gain(second)
    assert (gain, low, high) == pytest.approx((0.0, -1.0, 0.1))  # the short window alone, or the long one


def test_a_rival_that_was_marked_on_the_first_items_is_compared_there() -> None:
    whole, groups = (1.0,) * 4, (0, 0, 1, 1)
    plan, rival = Marks((1.0, 1.0, 0.0, 0.0), whole, groups), Marks((0.0, 0.0), whole[:2], groups[:2])
    assert plan.gain(rival) == (1.0, 1.0, 1.0)
    assert rival.gain(plan) == (-1.0, -1.0, -1.0)


def test_recordings_that_several_windows_share_are_resampled_too() -> None:
    """Where every difference is a recording's own, hearing it in more windows cannot make the interval narrower."""
    random = np.random.default_rng(0)
    recordings, windows = 30, 12
    lost = random.integers(0, 2, recordings).astype(float)
    whole = (1.0,) * (recordings * windows)
    window, recording = (each.ravel() for each in np.indices((windows, recordings)))
    plain = Marks(whole, whole, tuple(window), tuple(recording))
    rival = Marks(tuple(1 - lost[recording]), whole, tuple(window), tuple(recording))
    gain, low, high = plain.gain(rival)
    alone = Marks((1.0,) * recordings, (1.0,) * recordings, tuple(range(recordings)))
    once = alone.gain(Marks(tuple(1 - lost), (1.0,) * recordings, tuple(range(recordings))))
    assert gain == pytest.approx(once[0])
    assert (low, high) == pytest.approx(once[1:], abs=0.02)
    assert Marks(whole, whole, tuple(window)).gain(Marks(rival.right, whole, tuple(window)))[1:] == pytest.approx(
        (gain, gain)
    )
