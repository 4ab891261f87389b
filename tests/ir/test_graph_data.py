"""Graphs as data: they come back equal, also through JSON text, and damage is refused in one sentence."""

from __future__ import annotations

import json

import pytest
from families import small_config
from tiny import tiny_config

from foveate.common.errors import BadInput
from foveate.ir.drawing import dot, svg
from foveate.ir.graph import Graph, Placed
from foveate.ir.op import Op
from foveate.ir.placement import Placement
from foveate.ir.polynomial import ROWS
from foveate.ir.tracing import trace


@pytest.fixture(scope="module")
def graph() -> Graph:
    return trace(tiny_config(), "image=2x56x56,text=9", name="tiny")


def through_json(graph: Graph) -> Graph:
    return Graph.from_data(json.loads(json.dumps(graph.to_data(), allow_nan=False)))


def test_a_graph_comes_back_equal(graph: Graph) -> None:
    assert through_json(graph) == graph


def test_windows_and_placements_come_back_too() -> None:
    config = small_config("gemma3")
    config.text_config.layer_types = ["sliding_attention", "full_attention"]
    graph = trace(config, "image=1x896x896")
    count = graph.layouts["image"].count
    placement = Placement("random", "decoder.layers.1", 0.5, {"seed": 3}, modality=("image",))
    placed = Placed(placement, "image", count, count // 2, (Op("gather", "gather", elements=2 * ROWS),))
    assert through_json(graph.place([placed])) == graph.place([placed])


@pytest.mark.parametrize("data", [{}, [], {"foveate_graph": 2}, {"foveate_graph": 1, "bodies": []}])
def test_other_data_is_refused(data: object) -> None:
    with pytest.raises(BadInput, match="traced graph") as refused:
        Graph.from_data(data)  # type: ignore[arg-type]
    assert "\n" not in str(refused.value)


def test_drawings_name_every_stage_and_stream(graph: Graph) -> None:
    text, picture = dot(graph), svg(graph)
    for stage in graph.stages:
        assert f'"{stage.name}" [label=' in text
        assert f">{stage.name}</text>" in picture
    for stream in graph.streams:
        assert f'"{stream.source}" -> "{stream.target}"' in text
    assert picture.count("<line ") == len(graph.streams)
    assert text.startswith('digraph "tiny" {')
