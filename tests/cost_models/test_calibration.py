"""Calibration as a whole: what it refuses, and that a short one gives a profile that can be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from foveate.common.errors import BadInput
from foveate.common.timing import fixed_threads
from foveate.cost_models import CostModel, calibrate, load_profile
from foveate.cost_models.calibration import calibrate_with_report
from foveate.cost_models.parts import PARTS
from foveate.cost_models.profile import VECTOR
from foveate.cost_models.report import error_interval, part_error, yardstick_words
from foveate.cost_models.timed import Stopwatch
from foveate.cost_models.yardstick import Pace, yardstick_ms
from foveate.ir.graph import Graph
from foveate.ir.op import OP_KINDS


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"seconds": 1.0}, "at least 5 seconds"),
        ({"dtype": "int8"}, "cannot calibrate at dtype"),
        ({"dtype": "float99"}, "unknown dtype 'float99'"),
        ({"dtype": ["float32", "int4"]}, "cannot calibrate at dtype 'int4'"),
        ({"dtype": []}, "at least one dtype"),
        ({"device": "tpu"}, "cannot calibrate device 'tpu'"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(arguments: dict[str, object], complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint):
        calibrate(**arguments)  # type: ignore[arg-type]


def test_the_yardstick_is_a_positive_time() -> None:
    assert yardstick_ms(rounds=1) > 0
    with pytest.raises(BadInput, match="at least one round"):
        yardstick_ms(rounds=0)


def test_a_stopwatch_counts_in_its_own_yardsticks() -> None:
    calls = []
    once = Stopwatch("cpu", Pace(1.0, 1.0)).seconds({"a": lambda: calls.append("a")}, budget=0.0)
    assert once.shape == (1,)
    assert len(calls) == 5  # one round to warm up, one to see how long a round takes, three timed


def test_a_stopwatch_keeps_the_parts_that_functions_report(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = iter(range(100))
    monkeypatch.setattr(Stopwatch, "pace", lambda self: self.reference)
    found = Stopwatch("cpu", Pace(1.0, 1.0)).parts({"a": lambda: {"x": 1.0 * next(runs), "y": 4.0}}, budget=0.0)
    assert found == {"a": {"x": 3.0, "y": 4.0}}  # runs 2, 3, 4 are timed, their median is 3


def test_a_stopwatch_scales_to_its_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    # A machine whose yardstick takes 4 ms where it took 1 ms at first runs at a quarter of its speed.
    timings = {"work": np.array([8e-3, 8e-3, 8e-3]), "yardstick": np.array([4e-3, 4e-3, 4e-3])}
    monkeypatch.setattr("foveate.cost_models.timed.interleave", lambda *args, **kwargs: timings)
    found = Stopwatch("cpu", Pace(1.0, 1.0)).seconds({"work": lambda: None}, budget=1.0)
    np.testing.assert_allclose(found, [2e-3])


def test_every_run_is_stated_by_the_paces_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    # Memory slows from 1 ms to 3 ms about the run, the arithmetic from 1 to 7: on average by 2 and by 4.
    paces = iter([Pace(1.0, 1.0), Pace(7.0, 3.0)])
    monkeypatch.setattr(Stopwatch, "pace", lambda self: next(paces))
    watch = Stopwatch("cpu", Pace(1.0, 1.0))
    ((_, found),) = watch.paced({"a": lambda: {"decode": 6.0, "ttft": 8.0}}, 0)
    assert found == pytest.approx({"decode": 3.0, "ttft": 2.0})


def test_the_pace_is_two_positive_times() -> None:
    now = Pace.measure(rounds=1)
    assert min(now.compute_ms, now.stream_ms) > 0
    assert now.slowdown(now, "ttft") == now.slowdown(now, "decode") == 1.0
    with pytest.raises(BadInput, match="at least one round"):
        Pace.measure(rounds=0)


@pytest.mark.slow
def test_a_short_calibration_gives_a_profile(tmp_path: Path, graph: Graph) -> None:
    lines: list[str] = []
    journal = tmp_path / "here.partial.json"
    with fixed_threads(1):  # on a busy machine threads wait for each other
        fit = calibrate_with_report(seconds=5.0, journal=journal, progress=lines.append)
        assert torch.get_num_threads() == 1 == fit.profile.threads
    assert set(fit.errors) == {*OP_KINDS, VECTOR} == set(fit.profile.efficiency)
    assert fit.profile.profile == "measured"
    assert fit.profile.error[0] < 1.0 < fit.profile.error[1]
    assert len(fit.models) == 8  # first and later token of the two smallest working models, two prompts each
    assert set(PARTS) <= set(fit.profile.scales)
    assert {"encoder", "decoder", "decode", "passes", "passes.greedy"} <= set(fit.profile.errors)
    assert Pace(**fit.profile.measured.pace_ms).stream_ms > 0
    low, high = CostModel(fit.profile).predict(graph).tpot_interval
    assert 0 < low < CostModel(fit.profile).predict(graph).tpot_ms < high
    assert any(line.startswith("gemm: ") for line in lines)
    assert not journal.exists()
    assert load_profile(fit.profile.save(tmp_path / "here.yaml")) == fit.profile
    assert CostModel(fit.profile).predict(graph).ttft_ms > 0


def test_the_interval_comes_from_models_that_the_fit_did_not_see() -> None:
    # Three models, each measured a tenth above its prediction: t(3) = 2.35 times log(1.1).
    low, high = error_interval(tuple((name, 10.0, 11.0) for name in "abc"))
    assert high == pytest.approx(1.1**2.35, rel=1e-3)
    assert low == pytest.approx(1 / high, rel=1e-3)
    exact = (("a", 10.0, 10.0), ("b", 20.0, 20.0))
    assert error_interval(exact) == pytest.approx((np.exp(-0.05), np.exp(0.05)), rel=1e-3)


def test_a_parts_error_knows_what_it_was_seen_on() -> None:
    error = part_error([10.0, 20.0, 50.0], [11.0, 22.0, 55.0])
    assert error.high == pytest.approx(1.1**2.35, rel=1e-3)
    assert (error.shortest_ms, error.longest_ms) == (11.0, 55.0)


def test_a_machine_that_changed_its_speed_is_reported() -> None:
    assert "not quiet" in yardstick_words((3.0, 6.0))
    assert "not quiet" not in yardstick_words((3.0, 3.1))
