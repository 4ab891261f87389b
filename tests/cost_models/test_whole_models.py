"""Host times and scales that made the models' times are found again; what nothing tells stays near its prior."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from foveate.cost_models import CostModel, DeviceProfile
from foveate.cost_models.specimens import HOST, STEPS, WORKING, Shape, specimens
from foveate.cost_models.sweep import bench
from foveate.cost_models.whole_models import Observation, fit_whole_models
from foveate.ir.graph import Graph

DEPTHS = ((2, 3), (9, 3), (2, 12), (6, 6))
WORKLOADS = ("image=2x32x32,text=8,new=5", "image=2x32x32,text=8,new=5,batch=64")


def _observed(model: CostModel, graph: Graph) -> Observation:
    parts = {"encoder": model.stage_ms(graph, graph.stages[0]), "decoder": model.stage_ms(graph, graph.decoder)}
    whole = {"ttft": model.predict(graph).ttft_ms, "decode": model.tpot_ms(graph)}
    return Observation(graph, parts | whole)


def _graphs(build: Callable[..., Graph]) -> list[Graph]:
    made = [build(work, encoder=e, decoder=d) for e, d in DEPTHS for work in WORKLOADS]
    return [replace(graph, model=f"toy {i}") for i, graph in enumerate(made)]


def test_known_times_and_scales_are_recovered(device: DeviceProfile, build: Callable[..., Graph]) -> None:
    host = {"call_overhead_us": 12.5, "stage_overhead_us": 340.0, "step_overhead_us": 150.0}
    scales = {"encoder": 1.3, "decoder": 1.15, "decode": 0.9}
    truth = CostModel(replace(device, **host, scales=scales))
    fit = fit_whole_models(device, "float32", [_observed(truth, graph) for graph in _graphs(build)])
    for name, value in host.items():
        assert getattr(fit.profile, name) == pytest.approx(value, rel=0.03)
    assert {part: fit.profile.scales[part] for part in scales} == pytest.approx(scales, rel=0.02)
    assert fit.profile.scales["projector"] == pytest.approx(1.0, abs=0.02)
    assert all(predicted == pytest.approx(measured, rel=0.03) for predicted, measured in fit.unseen.values())


def test_a_gpus_host_and_device_are_told_apart(device: DeviceProfile, build: Callable[..., Graph]) -> None:
    gpu = replace(device, kind="gpu", call_overhead_us=200.0, stage_overhead_us=2e3, step_overhead_us=1e3)
    truth = CostModel(replace(gpu, scales={"encoder": 1.2, "decoder": 1.2, "decode": 1.2}))
    fit = fit_whole_models(gpu, "float32", [_observed(truth, graph) for graph in _graphs(build)])
    assert all(predicted == pytest.approx(measured, rel=0.05) for predicted, measured in fit.unseen.values())


def test_the_unseen_error_is_of_models_left_out(device: DeviceProfile, build: Callable[..., Graph]) -> None:
    seen = [_observed(CostModel(device), graph) for graph in _graphs(build)]
    slow = replace(seen[0], measured={part: 3 * taken for part, taken in seen[0].measured.items()})
    fit = fit_whole_models(device, "float32", [slow, *seen[1:]])
    predicted, measured = fit.unseen["toy 0", "ttft"]
    assert predicted < 0.5 * measured


def test_prompts_of_one_model_are_left_out_together(device: DeviceProfile, build: Callable[..., Graph]) -> None:
    seen = [_observed(CostModel(device), graph) for graph in _graphs(build)]
    slow = [replace(one, measured={p: 3 * ms for p, ms in one.measured.items()}, group="slow") for one in seen[:2]]
    apart = [replace(one, group=None) for one in slow]
    together, alone = (fit_whole_models(device, "float32", [*two, *seen[2:]]).unseen for two in (slow, apart))
    # Where its sister prompt stays in the fit, a slow model gives itself away.
    assert together["toy 0", "ttft"][0] < alone["toy 0", "ttft"][0]


def test_scales_of_the_passes_are_kept(device: DeviceProfile, graph: Graph) -> None:
    fit = fit_whole_models(
        replace(device, scales={"passes": 1.7, "encoder": 9.0}), "float32", [_observed(CostModel(device), graph)]
    )
    assert fit.profile.scales["passes"] == 1.7
    assert fit.profile.scales["encoder"] < 2.0


def test_a_specimen_times_its_parts() -> None:
    one, longer = specimens(bench("cpu", "float32", 0), Shape(2, 2, 32, 2, 32, (4, 9)))
    with torch.inference_mode():
        parts = one.run()
    assert set(parts) == {"encoder", "decoder", "ttft", "decode"}
    assert min(parts.values()) > 0
    assert parts["encoder"] + parts["decoder"] < parts["ttft"]
    assert one.graph.workload.new_tokens == STEPS + 1
    assert (one.graph.workload.text_tokens, longer.graph.workload.text_tokens) == (4, 9)
    assert str(one) != str(longer)


def test_shapes_have_names_of_their_own() -> None:
    names = [str(shape) for shape in (*HOST, *WORKING)]
    assert len(set(names)) == len(names)
    assert np.all([shape.width % shape.heads == 0 and shape.side % 16 == 0 for shape in (*HOST, *WORKING)])
