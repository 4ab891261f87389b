"""Many plans at once give what one at a time gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foveate.common.errors import BadInput
from foveate.cost_models import CostModel, DeviceProfile, load_profile, table
from foveate.ir.graph import Graph

COUNTS = st.lists(st.integers(1, 64), min_size=4, max_size=4)


@settings(deadline=None)
@given(
    plans=st.lists(COUNTS, min_size=1, max_size=5),
    name=st.sampled_from(["generic-cpu", "h100-sxm"]),
    workload=st.sampled_from(["text=8,new=5", "text=8,new=1,batch=3", "text=8,new=9,concurrency=4,turns=2"]),
)
def test_the_table_equals_the_scalar_path(
    build: Callable[..., Graph], plans: list[list[int]], name: str, workload: str
) -> None:
    graph, model = build(f"image=2x32x32,{workload}"), CostModel(load_profile(name))
    added = np.linspace(0.0, 2.0, len(plans))
    found = model.predict_many(graph, np.array(plans), added)
    for i, tokens in enumerate(plans):
        stages = tuple(replace(s, tokens=tuple(tokens)) if s.name == "decoder" else s for s in graph.stages)
        alone = model.predict(replace(graph, stages=stages))
        assert found.ttft_ms[i] == pytest.approx(alone.ttft_ms + added[i], rel=1e-12)
        assert found.tpot_ms[i] == pytest.approx(alone.tpot_ms, rel=1e-12)
        assert found.memory_bytes[i] == pytest.approx(alone.memory_bytes, abs=1)


def test_a_placed_graph_and_its_row_agree(device: DeviceProfile, graph: Graph, place: Callable[..., Graph]) -> None:
    model, placed = CostModel(device), place(graph, "decoder.layers.2", 3)
    alone = model.predict(placed)
    found = model.predict_many(graph, [placed.decoder.tokens], alone.compression_ms)
    assert float(found.ttft_ms[0]) == pytest.approx(alone.ttft_ms, rel=1e-12)


def test_chunks_leave_no_seam(device: DeviceProfile, graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = np.random.default_rng(0).integers(1, 41, (50, 4))
    whole = CostModel(device).predict_many(graph, tokens)
    monkeypatch.setattr(table, "_CHUNK", 7)
    parts = CostModel(device).predict_many(graph, tokens)
    for figure in ("ttft_ms", "tpot_ms", "memory_bytes"):
        np.testing.assert_array_equal(getattr(whole, figure), getattr(parts, figure))


@pytest.mark.parametrize(
    ("tokens", "times", "complaint"),
    [
        ([1, 2, 3, 4], 0.0, "shape"),
        (np.ones((2, 3), dtype=np.int64), 0.0, "4 columns"),
        (np.ones((0, 4), dtype=np.int64), 0.0, "shape"),
        ([[1.5, 1.0, 1.0, 1.0]], 0.0, "whole numbers"),
        ([[1, 0, 1, 1]], 0.0, "from 1"),
        ([[1, 1 << 40, 1, 1]], 0.0, "whole numbers from 1 to"),
        ([[1, 1, 1, 1]], [0.0, 1.0], "compression_ms"),
    ],
)
def test_impossible_counts_are_refused(
    device: DeviceProfile, graph: Graph, tokens: object, times: object, complaint: str
) -> None:
    with pytest.raises(BadInput, match=complaint):
        CostModel(device).predict_many(graph, tokens, times)  # type: ignore[arg-type]
