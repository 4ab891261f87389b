"""Many plans at once give what one at a time gives."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foveate.common.errors import BadInput
from foveate.cost_models import CostModel, DeviceProfile, load_profile, table
from foveate.cost_models.slots import Slots
from foveate.ir.graph import Graph, Placed
from foveate.ir.op import gemm
from foveate.ir.placement import Placement

# Columns of the toy graph: encoder 1 + 2 layers of 17 tokens, projector 16, decoder 1 + 3 layers of 40, head 1.
BASE = (17, 17, 17, 16, 40, 40, 40, 40, 1)
COUNTS = st.tuples(*(st.integers(min(most, 1), most) for most in BASE))
FIGURES = ("ttft_ms", "tpot_ms", "latency_ms", "throughput_per_s", "memory_bytes", "kv_bytes", "compression_ms")
SITES = ("image.encoder.layers.1", "image.projector.output", "decoder.layers.1", "decoder.layers.2")


@settings(deadline=None, max_examples=60)
@given(
    plans=st.lists(COUNTS, min_size=1, max_size=5),
    name=st.sampled_from(["generic-cpu", "h100-sxm"]),
    workload=st.sampled_from(["text=8,new=5", "text=8,new=1,batch=3", "text=8,new=9,concurrency=4,turns=2"]),
)
def test_the_table_equals_the_scalar_path(
    build: Callable[..., Graph], plans: list[tuple[int, ...]], name: str, workload: str
) -> None:
    graph = build(f"image=2x32x32,{workload}")
    profile = replace(load_profile(name), scales={"encoder": 1.3, "decoder": 0.9, "decode": 1.1})
    model = CostModel(profile)
    found = model.table(graph).predict(np.array(plans), np.linspace(0.0, 2.0, len(plans)))
    for i, counts in enumerate(plans):
        alone = model.predict(_with_counts(graph, counts))
        added = 2.0 * i / max(len(plans) - 1, 1)
        assert found.ttft_ms[i] == pytest.approx(alone.ttft_ms + added, rel=1e-12)
        assert found.tpot_ms[i] == pytest.approx(alone.tpot_ms, rel=1e-12)
        assert found.memory_bytes[i] == pytest.approx(alone.memory_bytes, abs=1)
        assert found.kv_bytes[i] == alone.kv_bytes


@settings(deadline=None, max_examples=60)
@given(data=st.data(), name=st.sampled_from(["generic-cpu", "h100-sxm"]))
def test_chosen_slots_equal_placed_graphs(graph: Graph, data: st.DataObject, name: str) -> None:
    model = CostModel(replace(load_profile(name), scales={"passes": 1.5}))
    sites = [site for site in SITES if site in map(str, graph.sites())]
    offered = [_placed(site, 16, 8, width) for site in sites for width in (1, 64)]
    kept = sorted(data.draw(st.lists(st.integers(0, 16), min_size=len(sites), max_size=len(sites))), reverse=True)
    widths = data.draw(st.tuples(*[st.sampled_from([None, 0, 1])] * len(sites)))
    chosen, dropped, placed, arriving = [], [], [], 16
    for place, (left, width) in enumerate(zip(kept, widths, strict=True)):
        chosen.append(-1 if width is None else 2 * place + width)
        dropped.append(arriving - left)
        if width is not None:
            item = _placed(sites[place], arriving, left, (1, 64)[width])
            placed.append(item if left < arriving else replace(item, ops=()))
            arriving = left
    found = Slots.of(model.table(graph), offered).predict([chosen], [dropped])
    alone = model.predict(graph.place(placed))
    for figure in FIGURES:
        assert float(getattr(found, figure)[0]) == pytest.approx(getattr(alone, figure), rel=1e-12, abs=1e-9)


def test_a_placed_graph_and_its_row_agree(device: DeviceProfile, graph: Graph, place: Callable[..., Graph]) -> None:
    model, placed = CostModel(device), place(graph, "decoder.layers.2", 3)
    alone, rows = model.predict(placed), model.table(graph)
    found = rows.predict(rows.row(placed)[None], alone.compression_ms)
    assert float(found.ttft_ms[0]) == pytest.approx(alone.ttft_ms, rel=1e-12)


def test_a_smaller_cache_is_read_and_held_only_by_decode_steps(device: DeviceProfile, graph: Graph) -> None:
    rows = CostModel(device).table(graph)
    base = rows.row(graph)[None]
    whole, half = rows.predict(base), rows.predict(base, kv_tokens=[[20, 20, 20]])
    assert half.ttft_ms == whole.ttft_ms
    assert half.kv_bytes == 0.5 * whole.kv_bytes
    assert half.tpot_ms < whole.tpot_ms


def test_chunks_leave_no_seam(device: DeviceProfile, graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    plans = np.random.default_rng(0).integers(1, np.array(BASE) + 1, (50, len(BASE)))
    whole = CostModel(device).table(graph).predict(plans)
    monkeypatch.setattr(table, "CHUNK", 7)
    parts = CostModel(device).table(graph).predict(plans)
    for figure in FIGURES:
        np.testing.assert_array_equal(getattr(whole, figure), getattr(parts, figure))


def test_memory_stays_flat_however_many_plans(device: DeviceProfile, graph: Graph) -> None:
    slots = Slots.of(CostModel(device).table(graph), [_placed(SITES[-1], 16, 8, 1)])
    few, many = (_peak_bytes(slots, chunks * table.CHUNK) for chunks in (2, 12))
    # Beyond one chunk's work there are only the figures themselves, once by chunk and once joined.
    assert many - few <= 1.2 * 2 * len(FIGURES) * 8 * 10 * table.CHUNK


def _peak_bytes(slots: Slots, plans: int) -> int:
    """The most that numpy held at a time while `plans` plans were predicted, arguments apart."""
    chosen, dropped = np.zeros((plans, 1), dtype=np.int64), np.full((plans, 1), 3)
    tracemalloc.start()
    try:
        slots.predict(chosen, dropped)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("counts", "times", "complaint"),
    [
        (BASE, 0.0, "shape"),
        (np.ones((2, 3), dtype=np.int64), 0.0, "9 columns"),
        (np.ones((0, 9), dtype=np.int64), 0.0, "shape"),
        (np.array([BASE]) / 1.5, 0.0, "whole numbers"),
        (np.array([BASE]) + 1, 0.0, "whole numbers from 0"),
        (-np.array([BASE]), 0.0, "whole numbers from 0"),
        (np.array([BASE]), [0.0, 1.0], "compression_ms"),
    ],
)
def test_impossible_counts_are_refused(
    device: DeviceProfile, graph: Graph, counts: object, times: object, complaint: str
) -> None:
    with pytest.raises(BadInput, match=complaint):
        CostModel(device).table(graph).predict(counts, times)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("chosen", "dropped", "complaint"),
    [
        ([[0]], [[1, 2]], "must both be"),
        ([[0.0]], [[1]], "whole numbers"),
        ([[3]], [[1]], "from -1 to 2"),
        ([[0]], [[-1]], "negative"),
        ([[0, 1]], [[10, 10]], "more than the 16 tokens"),
    ],
)
def test_impossible_choices_are_refused(
    device: DeviceProfile, graph: Graph, chosen: object, dropped: object, complaint: str
) -> None:
    slots = Slots.of(CostModel(device).table(graph), [_placed(site, 16, 8, 1) for site in SITES[-3:]])
    with pytest.raises(BadInput, match=complaint):
        slots.predict(chosen, dropped)  # type: ignore[arg-type]


def test_a_cache_slot_evicts_in_proportion(device: DeviceProfile, graph: Graph) -> None:
    model = CostModel(device)
    halved = Placed(Placement("knorm", "decoder.cache", 0.5), "image", 16, 8, evicted=(16, 8, 24))
    found = Slots.of(model.table(graph), [halved]).predict([[0], [0], [-1]], [[8], [4], [4]])
    assert found.kv_bytes.tolist() == [512 * (120 - 48), 512 * (120 - 24), 512 * 120]
    assert found.kv_bytes[0] == model.predict(graph.place([halved])).kv_bytes
    assert found.tpot_ms[0] == pytest.approx(model.predict(graph.place([halved])).tpot_ms, rel=1e-12)


def test_a_placed_graph_has_no_table(device: DeviceProfile, graph: Graph, place: Callable[..., Graph]) -> None:
    with pytest.raises(BadInput, match="as it was traced"):
        CostModel(device).table(place(graph, "decoder.layers.1", 4))


def _placed(site: str, arriving: int, left: int, width: int) -> Placed:
    return Placed(Placement("random", site, 0.5), "image", arriving, left, (gemm("score", 64, width),))


def _with_counts(graph: Graph, counts: tuple[int, ...]) -> Graph:
    stages, start = [], 0
    for stage in graph.stages:
        stages.append(replace(stage, tokens=counts[start : start + len(stage.layers)]))
        start += len(stage.layers)
    return replace(graph, stages=tuple(stages))
