"""The correction of measurements: silent without any, drawn to what was measured, honest about what it knows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from foveate.common.errors import BadInput
from foveate.cost_models import CostModel, DeviceProfile, Measurement, correct, load_profile
from foveate.cost_models.ridge import Ridge
from foveate.ir.graph import Graph

DEPTHS = [(2, 2), (2, 6), (6, 2), (4, 4), (3, 8), (8, 3), (5, 5), (2, 12), (12, 2), (7, 7)]


def _measured(model: CostModel, graph: Graph, factor: float) -> Measurement:
    found = model.predict(graph)
    return Measurement(graph, factor * found.ttft_ms, factor * found.tpot_ms)


def test_nothing_measured_changes_nothing(device: DeviceProfile, graph: Graph) -> None:
    model = CostModel(device)
    assert correct(model, []).predict(graph) == model.predict(graph)


def test_a_machine_that_is_slower_by_a_fifth_is_found_out(device: DeviceProfile, build: Callable[..., Graph]) -> None:
    model = CostModel(device)
    seen = [_measured(model, build(encoder=e, decoder=d), 1.2) for e, d in DEPTHS[:6]]
    unseen = build(encoder=10, decoder=4)
    found, bare = correct(model, seen).predict(unseen), model.predict(unseen)
    assert found.ttft_ms == pytest.approx(1.2 * bare.ttft_ms, rel=0.02)
    assert found.tpot_ms == pytest.approx(1.2 * bare.tpot_ms, rel=0.02)
    assert found.latency_ms == pytest.approx(1.2 * bare.latency_ms, rel=0.02)
    assert found.interval[1] / found.interval[0] < bare.interval[1] / bare.interval[0]


def test_one_measurement_moves_less_than_many(device: DeviceProfile, build: Callable[..., Graph]) -> None:
    model, graph = CostModel(device), build()
    seen = [_measured(model, build(encoder=e, decoder=d), 1.5) for e, d in DEPTHS]
    one, all_ = (correct(model, some).predict(graph).ttft_ms for some in (seen[:1], seen))
    assert model.predict(graph).ttft_ms < one < all_


def test_tpot_may_be_unknown(device: DeviceProfile, graph: Graph) -> None:
    model = CostModel(device)
    bare = model.predict(graph)
    found = correct(model, [Measurement(graph, 2 * bare.ttft_ms)]).predict(graph)
    assert found.ttft_ms > bare.ttft_ms
    assert found.tpot_ms == bare.tpot_ms
    assert found.tpot_interval == pytest.approx(bare.tpot_interval)


def test_new_measurements_replace_the_old(device: DeviceProfile, graph: Graph) -> None:
    model = CostModel(device)
    once = correct(model, [_measured(model, graph, 1.5)])
    again = correct(once, [_measured(model, graph, 1.5)])
    assert again.profile == once.profile
    assert correct(once, []).profile == device


def test_the_correction_travels_in_the_profiles_file(tmp_path: Path, device: DeviceProfile, graph: Graph) -> None:
    model = CostModel(device)
    profile = correct(model, [_measured(model, graph, 1.3)]).profile
    assert profile.correction is not None
    assert profile.correction.measurements == 1
    read = load_profile(profile.save(tmp_path / "device.yaml"))
    assert read == profile
    assert CostModel(read).predict(graph).ttft_ms > 1.01 * model.predict(graph).ttft_ms


def test_tables_are_corrected_as_single_predictions(
    device: DeviceProfile, graph: Graph, place: Callable[..., Graph], build: Callable[..., Graph]
) -> None:
    model = CostModel(device)
    seen = [_measured(model, build(encoder=e, decoder=d), 1 + d / 10) for e, d in DEPTHS]
    fitted, placed = correct(model, seen), place(graph, "image.projector.output", 4)
    table, single = fitted.table(graph), fitted.predict(placed)
    rows = table.predict(table.row(placed)[None], model.predict(placed).compression_ms)
    for name in ("ttft_ms", "tpot_ms", "latency_ms", "throughput_per_s", "compression_ms"):
        assert getattr(rows, name)[0] == pytest.approx(getattr(single, name), rel=1e-9)
    assert single.ttft_ms > 1.1 * model.predict(placed).ttft_ms


def test_intervals_cover_what_was_held_out() -> None:
    draws, covered = np.random.default_rng(0), []
    spread = np.array([0.2, 0.1, 0.1, 0.1])
    for _ in range(300):
        weights, noise = spread * draws.standard_normal(4), 0.08
        features = np.column_stack([np.ones(13), draws.uniform(-1, 1, (13, 3))])
        logs = features @ weights + noise * draws.standard_normal(13)
        low, high = Ridge.fit(features[:12], logs[:12], spread).bounds(features[12])
        covered.append(low <= np.exp(logs[12]) <= high)
    assert 0.85 <= np.mean(covered) <= 0.95


def test_the_posterior_is_ridge_regression() -> None:
    draws = np.random.default_rng(1)
    features, logs, spread = draws.standard_normal((9, 3)), draws.standard_normal(9), np.array([0.5, 1.0, 2.0])
    fit = Ridge.fit(features, logs, spread)
    # One more step of the same closed form, by augmented least squares, stays where it is.
    rows = np.vstack([features / fit.noise, np.diag(1 / spread)])
    expected, *_ = np.linalg.lstsq(rows, np.concatenate([logs / fit.noise, np.zeros(3)]), rcond=None)
    np.testing.assert_allclose(fit.weights, expected, rtol=0.05, atol=0.01)


@pytest.mark.parametrize("time", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_times_are_refused(device: DeviceProfile, graph: Graph, time: float) -> None:
    with pytest.raises(BadInput, match="above zero"):
        correct(CostModel(device), [Measurement(graph, time)])
