"""Scoring: exact match, intervals that respect scenes, paired differences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from foveate.common.errors import BadInput
from foveate.testbed import samples
from foveate.testbed.evaluate import accuracy, paired_bootstrap


def test_accuracy_counts_exact_matches_and_sets_counting_apart() -> None:
    drawn = samples("heldout", 120)
    answers = ["wrong" if sample.kind == "count-x" else sample.answer for sample in drawn]
    scored = accuracy(answers, drawn)
    counting = sum(sample.kind == "count-x" for sample in drawn)
    assert scored.without_counting.value == 1.0
    assert scored.counting.value == 0.0
    assert scored.counting.questions == counting > 0
    assert scored.overall.value == pytest.approx(1 - counting / 120)
    assert scored.overall.low < scored.overall.value < scored.overall.high
    assert sum(kind.questions for kind in scored.per_kind.values()) == 120
    assert scored.correct == tuple(answer != "wrong" for answer in answers)


def test_the_interval_is_by_scene() -> None:
    """Sixteen copies of each outcome carry no more information than one: the interval must not shrink by four."""
    base = samples("heldout", 1)[0]
    outcomes = np.random.default_rng(0).random(60) < 0.7
    single = [replace(base, scene_seed=scene) for scene in range(60)]
    copied = [sample for sample in single for _ in range(16)]
    answers = [base.answer if right else "wrong" for right in outcomes]
    one, many = accuracy(answers, single), accuracy([a for a in answers for _ in range(16)], copied)
    assert many.overall.high - many.overall.low == pytest.approx(one.overall.high - one.overall.low, rel=1e-6)


def test_the_interval_agrees_with_the_normal_approximation() -> None:
    outcomes = np.arange(400) < 300
    base = samples("heldout", 1)[0]
    drawn = [replace(base, scene_seed=scene) for scene in range(400)]
    scored = accuracy([base.answer if right else "wrong" for right in outcomes], drawn).overall
    half = 1.96 * np.sqrt(0.75 * 0.25 / 400)
    assert scored.low == pytest.approx(0.75 - half, abs=0.006)
    assert scored.high == pytest.approx(0.75 + half, abs=0.006)


def test_a_paired_difference_is_sharper_than_two_intervals() -> None:
    rng = np.random.default_rng(1)
    first = rng.random(500) < 0.8
    second = first & (rng.random(500) < 0.95)
    difference, low, high = paired_bootstrap(first.tolist(), second.tolist(), list(range(500)))
    gains = first.astype(float) - second
    half = 1.96 * gains.std() / np.sqrt(500)
    assert difference == pytest.approx(gains.mean())
    assert (low, high) == (pytest.approx(gains.mean() - half, abs=0.005), pytest.approx(gains.mean() + half, abs=0.005))
    assert low > 0
    assert paired_bootstrap(second.tolist(), first.tolist(), list(range(500)))[0] == -difference


def test_what_does_not_fit_is_refused() -> None:
    drawn = samples("heldout", 2)
    with pytest.raises(BadInput, match="got 1 answers to 2 samples"):
        accuracy(["yes"], drawn)
    with pytest.raises(BadInput, match="paired bootstrap"):
        paired_bootstrap([True], [True, False], [0, 1])
    with pytest.raises(BadInput, match="cannot draw -1 samples"):
        samples("heldout", -1)
