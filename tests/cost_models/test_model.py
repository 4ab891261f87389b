"""Whole-graph predictions against sums written out here, and the laws that they must keep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foveate.cost_models import CostModel, DeviceProfile, load_profile
from foveate.ir.graph import Graph
from foveate.ir.op import Op
from foveate.ir.polynomial import ROWS


def _by_hand(op: Op, *, batch: int, tokens: int, context: float) -> float:
    """ms of one op on the round device at float32: 2 us a launch, 1 GFLOP/s, 1 GB/s, whole causal halves saved."""
    counts = {"batch": batch, "tokens": tokens, "context": context}
    seconds = max(op.flops(**counts), 4 * (op.elements(**counts) + op.weights)) / 1e9
    return 1e3 * seconds + 0.002 * op.launches(**counts)


def test_ttft_is_the_sum_of_every_op_once(device: DeviceProfile, graph: Graph) -> None:
    expected = 0.0
    for stage in graph.stages:
        for layer in stage.layers:
            for op in layer.ops:
                n = stage.tokens[0]
                expected += _by_hand(op, batch=stage.sequences, tokens=n, context=n)
    found = CostModel(device).predict(graph)
    assert found.ttft_ms == pytest.approx(expected, rel=1e-12)
    assert sum(stage.ms for stage in found.stages) == pytest.approx(expected, rel=1e-12)
    assert [(s.name, s.tokens) for s in found.stages] == [
        ("image.encoder", 34), ("image.projector", 32), ("decoder", 40), ("head", 1),
    ]  # fmt: skip


def test_tpot_is_the_mean_over_the_steps_of_the_answer(device: DeviceProfile, graph: Graph) -> None:
    # Five new tokens: four decode steps over 41, 42, 43 and 44 keys.
    steps = []
    for step in range(1, 5):
        ops = [op for stage in graph.stages[2:] for layer in stage.layers for op in layer.ops]
        steps.append(sum(_by_hand(op, batch=1, tokens=1, context=40 + step) for op in ops))
    found = CostModel(device).predict(graph)
    assert found.tpot_ms == pytest.approx(sum(steps) / 4, rel=1e-12)
    assert found.latency_ms == pytest.approx(found.ttft_ms + sum(steps), rel=1e-12)
    assert found.throughput_per_s == pytest.approx(1e3 / found.latency_ms, rel=1e-12)


def test_memory_is_weights_cache_and_the_largest_activation(device: DeviceProfile, graph: Graph) -> None:
    found = CostModel(device).predict(graph)
    # Three layers of 128 channels of keys and values, four bytes each, 40 tokens after the prefill.
    assert found.kv_bytes == 3 * 128 * 4 * 40
    weights = 4 * (2 * 12 * 32**2 + 2048 + 3 * 12 * 64**2 + 6400)
    # The widest op is an MLP's up or down: 64 + 256 channels for each of 40 rows, and the residual of 64 beside it.
    activation = 4 * 40 * (64 + 256 + 64)
    assert found.memory_bytes == weights + 3 * 128 * 4 * 44 + activation


def test_a_batch_shares_weights_but_not_caches(device: DeviceProfile, build: Callable[..., Graph]) -> None:
    one = CostModel(device).predict(build("image=2x32x32,text=8,new=5"))
    four = CostModel(device).predict(build("image=2x32x32,text=8,new=5,batch=4"))
    assert four.kv_bytes == 4 * one.kv_bytes
    assert one.ttft_ms < four.ttft_ms < 4 * one.ttft_ms


def test_quantised_weights_take_less_memory_and_leave_the_cache(device: DeviceProfile, graph: Graph) -> None:
    whole, packed = CostModel(device).predict(graph), CostModel(device, weight_dtype="int4").predict(graph)
    assert packed.kv_bytes == whole.kv_bytes
    assert whole.memory_bytes - packed.memory_bytes == pytest.approx(3.5 * graph.parameters)
    assert packed.tpot_ms < whole.tpot_ms


@pytest.mark.parametrize(("weights", "size"), [("fp32", 4), ("bf16", 2), ("fp16", 2), ("int8", 1), ("int4", 0.5)])
def test_weights_take_the_bytes_of_their_precision(
    device: DeviceProfile, graph: Graph, weights: str, size: float
) -> None:
    found, whole = CostModel(device, weight_dtype=weights).predict(graph), CostModel(device).predict(graph)
    assert whole.memory_bytes - found.memory_bytes == round((4 - size) * graph.parameters)
    assert found.tpot_ms <= whole.tpot_ms
    assert found.kv_bytes == whole.kv_bytes


def test_a_placement_shrinks_what_follows_it_and_pays_for_itself(
    device: DeviceProfile, graph: Graph, place: Callable[..., Graph]
) -> None:
    model = CostModel(device)
    before, after = model.predict(graph), model.predict(place(graph, "decoder.layers.1", 4))
    # Two pictures lose 12 tokens each from layer 1 on: layer 0 keeps 40 tokens, layers 1 and 2 hold 16.
    assert after.kv_bytes == 128 * 4 * (40 + 16 + 16)
    # Its gemm reads 2 x 16 rows of 64 + 1 channels and 64 weights.
    assert after.compression_ms == pytest.approx(1e3 * 4 * (32 * 65 + 64) / 1e9 + 0.002)
    assert after.stages[0] == before.stages[0]
    assert after.ttft_ms - after.compression_ms < before.ttft_ms


def test_concurrent_requests_share_decode_steps(device: DeviceProfile, build: Callable[..., Graph]) -> None:
    alone = CostModel(device).predict(build("image=2x32x32,text=8,new=65"))
    eight = CostModel(device).predict(build("image=2x32x32,text=8,new=65,concurrency=8"))
    assert eight.ttft_ms == alone.ttft_ms
    assert eight.tpot_ms > alone.tpot_ms
    assert eight.throughput_per_s == pytest.approx(8e3 / (8 * eight.ttft_ms + 64 * eight.tpot_ms))
    assert eight.memory_bytes - alone.memory_bytes == 7 * 3 * 128 * 4 * (40 + 64)


def test_later_turns_keep_their_tokens_in_the_cache(device: DeviceProfile, build: Callable[..., Graph]) -> None:
    one = CostModel(device).predict(build("image=2x32x32,text=8,new=5"))
    three = CostModel(device).predict(build("image=2x32x32,text=8,new=5,turns=3"))
    assert three.memory_bytes - one.memory_bytes == 3 * 128 * 4 * 2 * (8 + 5)


def test_the_interval_is_the_profiles_error(device: DeviceProfile, graph: Graph) -> None:
    found = CostModel(device).predict(graph)
    assert found.interval == pytest.approx((0.8 * found.ttft_ms, 1.25 * found.ttft_ms))


def test_host_time_is_paid_by_op_and_by_stage(device: DeviceProfile, graph: Graph) -> None:
    busy = replace(device, call_overhead_us=10.0, stage_overhead_us=100.0, step_overhead_us=70.0)
    bare, with_host = CostModel(device).predict(graph), CostModel(busy).predict(graph)
    # Encoder 1 + 2 x 7 ops, projector 1, decoder 1 + 3 x 7, head 1: 39 ops in four stages.
    assert with_host.ttft_ms - bare.ttft_ms == pytest.approx(39 * 0.01 + 4 * 0.1)
    assert with_host.tpot_ms - bare.tpot_ms == pytest.approx(23 * 0.01 + 0.07)


def test_a_decode_step_copies_the_whole_cache(device: DeviceProfile, graph: Graph) -> None:
    append = Op("cache", "gather", elements=2 * 128 * ROWS)
    decoder = replace(
        graph.decoder,
        layers=tuple(
            replace(layer, ops=(*layer.ops, append)) if layer.name != "embeddings" else layer
            for layer in graph.decoder.layers
        ),
    )
    stages = tuple(decoder if stage.role == "decoder" else stage for stage in graph.stages)
    without, with_copy = (CostModel(device).predict(g) for g in (graph, replace(graph, stages=stages)))
    # Three layers; 42.5 tokens of 128 channels at the mean step, read and written at four bytes each.
    assert with_copy.tpot_ms - without.tpot_ms == pytest.approx(3 * (1e3 * 2 * 128 * 42.5 * 4 / 1e9 + 0.002))
    assert with_copy.ttft_ms - without.ttft_ms == pytest.approx(3 * (1e3 * 2 * 128 * 40 * 4 / 1e9 + 0.002))


@settings(deadline=None)
@given(
    name=st.sampled_from(["generic-cpu", "h100-sxm", "t4"]),
    layer=st.integers(0, 2),
    kept=st.integers(0, 15),
    more=st.integers(1, 16),
)
def test_keeping_more_is_never_cheaper(
    build: Callable[..., Graph], place: Callable[..., Graph], name: str, layer: int, kept: int, more: int
) -> None:
    site = "image.projector.output" if layer == 0 else f"decoder.layers.{layer}"
    model, traced = CostModel(load_profile(name)), build()
    fewer, many = (model.predict(place(traced, site, k)) for k in (kept, min(kept + more, 16)))
    for figure in ("ttft_ms", "tpot_ms", "memory_bytes", "kv_bytes"):
        assert getattr(fewer, figure) <= getattr(many, figure) * (1 + 1e-9)
