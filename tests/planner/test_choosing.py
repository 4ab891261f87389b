"""Between finalists: a combination must lead the best single pass by more than the standard error of its lead."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from foveate.planner.choosing import Choice, best_choice
from foveate.planner.fidelity.fidelity import Fidelity
from foveate.planner.search.decision import Decision

EARLY, LATE = ("fastervlm", "projector.output"), ("fastv", "decoder.layers.2")
SINGLE, OTHER, PAIR = Decision.of(EARLY), Decision.of(("random", "projector.output")), Decision.of(EARLY, LATE)
MORE = Decision.of(("uniform", "projector.output"), LATE)


def choice(decision: Decision, per_sample: np.ndarray, *, ttft: float = 10.0) -> Choice:
    solution = SimpleNamespace(decision=decision, prediction=SimpleNamespace(ttft_ms=ttft))
    finalist: Any = SimpleNamespace(solution=solution)
    return Choice(finalist, Fidelity(float(per_sample.mean()), (0.0, 1.0), None, per_sample))


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, 64)


def test_a_lucky_combination_does_not_displace_a_single_pass(noise: np.ndarray) -> None:
    single, pair = choice(SINGLE, 0.9 + 0 * noise), choice(PAIR, 0.9 + noise - noise.mean() + 0.001)
    assert pair.fidelity.value > single.fidelity.value
    assert best_choice([pair, single]) is single


def test_a_combination_has_to_lead_on_held_out_samples(noise: np.ndarray) -> None:
    single, pair = choice(SINGLE, 0.9 + noise), choice(PAIR, 0.9 + noise[::-1])
    lucky = {SINGLE: np.full(256, 0.8), PAIR: np.full(256, 0.9)}
    assert best_choice([pair, single], lucky) is single


def test_the_samples_of_the_search_help_to_rank_what_leads(noise: np.ndarray) -> None:
    single, pair, three = (
        choice(which, 0.9 + noise + lead) for which, lead in ((SINGLE, 0), (PAIR, 0.02), (MORE, 0.03))
    )
    searched = {SINGLE: np.full(64, 0.9), PAIR: np.full(64, 0.94), MORE: np.full(64, 0.91)}
    assert best_choice([three, single, pair]) is three
    assert best_choice([three, single, pair], searched) is pair
    assert best_choice([three, single, pair], {PAIR: searched[PAIR]}) is three  # not all are known


def test_a_combination_that_is_better_on_every_sample_wins(noise: np.ndarray) -> None:
    single, pair = choice(SINGLE, 0.8 + noise), choice(PAIR, 0.8 + noise + 0.02)
    assert best_choice([single, pair]) is pair


def test_without_a_single_pass_the_best_combination_is_taken(noise: np.ndarray) -> None:
    better, worse = choice(PAIR, 0.9 + noise), choice(PAIR, 0.5 + noise)
    assert best_choice([worse, better]) is better


def test_between_single_passes_value_decides_and_then_time(noise: np.ndarray) -> None:
    low, high = choice(OTHER, 0.5 + noise), choice(SINGLE, 0.6 + noise)
    assert best_choice([low, high]) is high
    fast, slow = choice(OTHER, 0.5 + noise, ttft=5.0), choice(SINGLE, 0.5 + noise, ttft=6.0)
    assert best_choice([slow, fast]) is fast
