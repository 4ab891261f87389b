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
from foveate.cost_models.report import error_interval, yardstick_words
from foveate.cost_models.timed import Stopwatch
from foveate.cost_models.yardstick import yardstick_ms
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
    once = Stopwatch("cpu", reference_ms=1.0).seconds({"a": lambda: calls.append("a")}, budget=0.0)
    assert once.shape == (1,)
    assert len(calls) == 5  # one round to warm up, one to see how long a round takes, three timed


def test_a_stopwatch_keeps_the_parts_that_functions_report() -> None:
    runs = iter(range(100))
    found = Stopwatch("cpu", reference_ms=1.0).parts({"a": lambda: {"x": 1.0 * next(runs), "y": 3.0}}, budget=0.0)
    assert found["a"]["x"] / found["a"]["y"] == pytest.approx(1.0)  # runs 2, 3, 4 are timed, their median is 3


def test_a_stopwatch_scales_to_its_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    # A machine whose yardstick takes 4 ms where it took 1 ms at first runs at a quarter of its speed.
    timings = {"work": np.array([8e-3, 8e-3, 8e-3]), "yardstick": np.array([4e-3, 4e-3, 4e-3])}
    monkeypatch.setattr("foveate.cost_models.timed.interleave", lambda *args, **kwargs: timings)
    found = Stopwatch("cpu", reference_ms=1.0).seconds({"work": lambda: None}, budget=1.0)
    np.testing.assert_allclose(found, [2e-3])


@pytest.mark.slow
def test_a_short_calibration_gives_a_profile(tmp_path: Path, graph: Graph) -> None:
    lines: list[str] = []
    journal = tmp_path / "here.partial.json"
    with fixed_threads(1):  # on a busy machine threads wait for each other
        fit = calibrate_with_report(seconds=5.0, journal=journal, progress=lines.append)
        assert torch.get_num_threads() == 1 == fit.profile.threads
    assert set(fit.errors) == set(OP_KINDS) == set(fit.profile.efficiency)
    assert fit.profile.profile == "measured"
    assert fit.profile.error[0] < 1.0 < fit.profile.error[1]
    assert len(fit.models) == 4  # first and later token of the two smallest working models
    assert set(fit.profile.scales) == {"encoder", "projector", "decoder", "head", "decode", "passes"}
    assert any(line.startswith("gemm: ") for line in lines)
    assert not journal.exists()
    assert load_profile(fit.profile.save(tmp_path / "here.yaml")) == fit.profile
    assert CostModel(fit.profile).predict(graph).ttft_ms > 0


def test_the_interval_comes_from_models_that_the_fit_did_not_see() -> None:
    # Three models, each measured a tenth above its prediction: t(3) = 2.35 times log(1.1).
    models = tuple((name, 10.0, 11.0) for name in "abc")
    low, high = error_interval(models, (3.0, 3.0))
    assert high == pytest.approx(1.1**2.35, rel=1e-3)
    assert low == pytest.approx(1 / high, rel=1e-3)


def test_a_machine_that_changed_its_speed_widens_the_interval() -> None:
    exact = (("a", 10.0, 10.0), ("b", 20.0, 20.0))
    assert error_interval(exact, (3.0, 3.0)) == pytest.approx((np.exp(-0.05), np.exp(0.05)), rel=1e-3)
    assert error_interval(exact, (3.0, 6.0)) == pytest.approx((0.5, 2.0), rel=1e-3)
    assert "not quiet" in yardstick_words((3.0, 6.0))
    assert "not quiet" not in yardstick_words((3.0, 3.1))
