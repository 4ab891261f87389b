"""Graphs as ONNX models: checked, readable back to an equal graph, and refused where they are something else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from families import small_config
from tiny import tiny_config

from foveate.common.errors import BadInput
from foveate.ir.graph import Graph, Placed
from foveate.ir.onnx_graph import DOMAIN, from_onnx, save_onnx, to_onnx
from foveate.ir.op import Op
from foveate.ir.placement import Placement
from foveate.ir.polynomial import ROWS
from foveate.ir.tracing import trace

onnx = pytest.importorskip("onnx", reason="onnx is not installed; install foveate[onnx]")


@pytest.fixture(scope="module")
def graph() -> Graph:
    return trace(tiny_config(), "image=2x56x56,text=9", name="tiny")


def test_a_graph_comes_back_equal(graph: Graph, tmp_path: Path) -> None:
    assert from_onnx(to_onnx(graph)) == graph
    assert from_onnx(save_onnx(graph, tmp_path / "graph.onnx")) == graph


def test_windows_and_placements_come_back_too() -> None:
    config = small_config("gemma3")
    config.text_config.layer_types = ["sliding_attention", "full_attention"]
    graph = trace(config, "image=1x896x896")
    count = graph.layouts["image"].count
    placement = Placement("random", "decoder.layers.1", 0.5, {"seed": 3}, modality=("image",))
    placed = graph.place([Placed(placement, "image", count, count // 2, (Op("gather", "gather", elements=2 * ROWS),))])
    assert from_onnx(to_onnx(placed)) == placed


def test_numbers_past_64_bits_and_empty_names_come_back(graph: Graph) -> None:
    encoder = graph.stages[0]
    large = replace(encoder, parameters=2**70, active_parameters=-1)
    odd = replace(graph, model="", stages=(large, *graph.stages[1:]))
    assert from_onnx(to_onnx(odd)) == odd


def test_streams_come_back_in_their_order(graph: Graph) -> None:
    turned = replace(graph, streams=tuple(reversed(graph.streams)))
    assert from_onnx(to_onnx(turned)) == turned


def test_the_model_is_what_other_tools_expect(graph: Graph) -> None:
    model = to_onnx(graph)
    onnx.checker.check_model(model, full_check=True)
    assert {entry.domain for entry in model.opset_import} == {"", DOMAIN}
    calls = {node.name: node for node in model.graph.node if node.op_type.startswith("stage_")}
    assert list(calls) == [stage.name for stage in graph.stages]
    flows = [node for node in model.graph.node if node.op_type == "TokenStream"]
    assert len(flows) == len(graph.streams)
    functions = {function.name: function for function in model.functions}
    for stage in graph.stages:
        layers = [node.name for node in functions[calls[stage.name].op_type].node][1:]
        assert layers == [layer.name for layer in stage.layers]
        for place, layer in enumerate(stage.layers, start=1):
            body = functions[functions[calls[stage.name].op_type].node[place].op_type]
            assert [node.op_type for node in body.node if node.op_type != "Identity"] == [op.kind for op in layer.ops]


def test_other_models_are_refused(graph: Graph, tmp_path: Path) -> None:
    model = to_onnx(graph)
    del model.metadata_props[:]
    with pytest.raises(BadInput, match="holds no token flow"):
        from_onnx(model)
    damaged = to_onnx(graph)
    del damaged.functions[:]
    with pytest.raises(BadInput, match="damaged"):
        from_onnx(damaged)
    (tmp_path / "text.onnx").write_text("no model")
    for path in (tmp_path / "text.onnx", tmp_path / "none.onnx"):
        with pytest.raises(BadInput, match="can be read"):
            from_onnx(path)
