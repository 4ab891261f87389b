"""Concurrency by formula against a discrete-event simulation, and what later turns cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from event_simulation import Device
from hypothesis import given, settings
from hypothesis import strategies as st

from foveate.cost_models import CostModel, DeviceProfile
from foveate.cost_models.serving import closed_loop
from foveate.cost_models.turns import later_turn_ms
from foveate.ir.graph import Graph, Placed
from foveate.ir.placement import Placement
from foveate.ir.workload import Workload


@settings(deadline=None)
@given(
    clients=st.integers(1, 12),
    new_tokens=st.integers(2, 60),
    prefill=st.floats(1.0, 500.0),
    step=st.floats(0.5, 20.0),
)
def test_clients_that_begin_together_are_served_as_the_formula_says(
    clients: int, new_tokens: int, prefill: float, step: float
) -> None:
    device = Device(prefill, lambda rows: step, [new_tokens] * clients)
    throughput = device.serve(starts=[0.0] * clients, until=20 * clients)
    found = closed_loop(prefill, step, workload=Workload(new_tokens=new_tokens, concurrency=clients))
    assert found.throughput_per_s == pytest.approx(throughput, rel=1e-6)
    assert (found.ttft_ms, found.latency_ms) == pytest.approx(device.medians(), rel=1e-6)


@pytest.mark.parametrize("clients", [2, 4, 8])
def test_throughput_holds_for_clients_that_begin_apart_and_answers_that_differ(clients: int) -> None:
    lengths = [40 + (7 * client) % 11 - 5 for client in range(clients)]
    device = Device(60.0, lambda rows: 4.0 + 0.1 * rows, lengths)
    throughput = device.serve(starts=[37.0 * client for client in range(clients)], until=60 * clients)
    work = Workload(new_tokens=round(sum(lengths) / clients), concurrency=clients)
    found = closed_loop(60.0, 4.0 + 0.1 * clients, workload=work)
    assert found.throughput_per_s == pytest.approx(throughput, rel=0.1)
    assert found.latency_ms == pytest.approx(device.medians()[1], rel=0.1)


def test_little_law(device: DeviceProfile, build: Callable[..., Graph]) -> None:
    found = CostModel(device).predict(build("image=2x32x32,text=8,new=65,concurrency=8"))
    assert found.throughput_per_s * found.queued_latency_ms / 1e3 == pytest.approx(8)
    assert found.queued_ttft_ms == pytest.approx(4.5 * found.ttft_ms)


def test_one_client_never_waits(device: DeviceProfile, graph: Graph) -> None:
    found = CostModel(device).predict(graph)
    assert (found.queued_ttft_ms, found.queued_latency_ms) == pytest.approx((found.ttft_ms, found.latency_ms))


def test_a_later_turn_runs_its_text_over_the_cache(device: DeviceProfile, build: Callable[..., Graph]) -> None:
    graph, model = build("image=2x32x32,text=8,new=5,turns=3"), CostModel(device)
    expected = 0.0
    for stage, tokens, context in ((graph.stages[2], 8, 40 + 2 * 13), (graph.stages[3], 1, 1)):
        for layer in stage.layers:
            for op in layer.ops:
                counts = {"batch": 1, "tokens": tokens, "context": context}
                moved = 4 * (op.elements(**counts) + op.weights)
                expected += 1e3 * max(op.flops(**counts), moved) / 1e9 + 0.002
    found = model.predict(graph)
    assert found.later_turn_ms == pytest.approx(expected, rel=1e-12)
    second = later_turn_ms(model, graph, turn=2)
    assert second < found.later_turn_ms
    answers = 3 * 4 * found.tpot_ms
    assert found.conversation_ms == pytest.approx(found.ttft_ms + second + found.later_turn_ms + answers)


@pytest.mark.parametrize("site", ["image.projector.output", "decoder.layers.1"])
def test_a_query_aware_pass_runs_the_decoder_again(
    device: DeviceProfile, build: Callable[..., Graph], site: str
) -> None:
    graph, model = build("image=2x32x32,text=8,new=5,turns=2"), CostModel(device)
    blind = Placed(Placement("random", site, 0.25), "image", 16, 4, ())
    kept, again = (model.predict(graph.place([replace(blind, query_aware=aware)])) for aware in (False, True))
    longer = build("image=2x32x32,text=21,new=5")
    # The second turn sees the first one's 8 + 5 tokens again behind its own prompt of 8.
    stages = [replace(s, tokens=tuple(t + 13 for t in s.tokens)) if s.role == "decoder" else s for s in longer.stages]
    whole = model.predict(replace(longer, stages=tuple(stages)).place([blind]))
    decoding = sum(stage.ms for stage in whole.stages if stage.name in ("decoder", "head"))
    assert again.later_turn_ms == pytest.approx(decoding, rel=1e-12)
    assert kept.later_turn_ms < again.later_turn_ms
    assert kept.ttft_ms == again.ttft_ms


def test_one_turn_has_no_later_one(device: DeviceProfile, graph: Graph) -> None:
    found = CostModel(device).predict(graph)
    assert found.later_turn_ms == 0.0
    assert found.conversation_ms == pytest.approx(found.latency_ms)
