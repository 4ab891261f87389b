"""Requests whose pictures differ in size: the sum of requests with one size each, in one graph."""

from __future__ import annotations

import networkx as nx
import pytest
import torch
from families import real_arguments, real_model, small_config

from foveate.ir.coverage import COUNTED, fault, traced_and_counted
from foveate.ir.families.table import row_of
from foveate.ir.graph import Graph
from foveate.ir.tracing import trace
from foveate.ir.workload import Workload

TEXT = 10
SMALL, LARGE = "image=1x336x336", "image=2x672x448"
MIXED = Workload.parse(f"{SMALL},{LARGE},text={TEXT}")

ALONE = [
    *("llava-1.5-7b", "llava-next-vicuna-7b", "internvl3-8b", "smolvlm2-2.2b", "gemma-3-4b", "qwen2.5-vl-7b"),
    *("qwen3-vl-8b", "gemma-4-e2b"),
]
"""Presets whose encoders never let one picture see another, and pad none to the size of another."""


def work(graph: Graph, stage: str) -> int:
    found = graph.stage(stage)
    costs = (
        op.convention_flops(batch=found.sequences, tokens=t, context=t) for t, op in found.ops() if op.kind in COUNTED
    )
    return int(sum(costs))


@pytest.mark.parametrize("name", ALONE)
def test_tokens_and_work_are_the_sums_of_those_of_each_size(name: str) -> None:
    small, large = (trace(name, f"{part},text={TEXT}") for part in (SMALL, LARGE))
    both = trace(name, MIXED)
    assert both.decoder.tokens_in - TEXT == small.decoder.tokens_in + large.decoder.tokens_in - 2 * TEXT
    assert both.media("image") == 3
    for stage in (s.name for s in both.stages if s.modality):
        assert work(both, stage) == work(small, stage) + work(large, stage)


@pytest.mark.parametrize("model_type", ["qwen2_vl", "llava_next", "mistral3", "lfm2_vl", "idefics3"])
def test_the_graph_is_that_of_one_forward_over_all_pictures(model_type: str) -> None:
    graph, counted, parameters = traced_and_counted(small_config(model_type), MIXED)
    assert fault(graph, counted, parameters) is None


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("llava_next", "idefics3", "internvl")]


@pytest.mark.parametrize("model_type", ["qwen2_vl", "mistral3", *SLOW])
def test_the_decoder_of_a_real_run_sees_as_many_tokens(model_type: str) -> None:
    config = small_config(model_type)
    row, model = row_of(config), real_model(config)
    seen: list[int] = []
    decoder = row.decoder(model)
    assert decoder is not None
    decoder.register_forward_hook(lambda _, __, output: seen.append(output.last_hidden_state.shape[1]))
    with torch.no_grad():
        model(**real_arguments(row, model, MIXED))
    assert seen == [trace(config, MIXED).decoder.tokens_in]


def test_streams_layouts_and_data_of_a_mixed_request() -> None:
    graph = trace("qwen2.5-vl-7b", MIXED)
    assert [layout.grid for layout in graph.mixed["image"]] == [(1, 12, 12), (1, 24, 16), (1, 24, 16)]
    into_decoder = [(s.sequences, s.layout.count) for s in graph.streams if s.target == "decoder"]
    assert into_decoder == [(1, 144), (2, 384)]
    flow = graph.networkx()
    assert [s.sequences for s in flow.edges["image.projector", "decoder"]["streams"]] == [1, 2]
    assert nx.is_directed_acyclic_graph(flow)
    assert Graph.from_data(graph.to_data()) == graph
    assert "image.input" in map(str, graph.possible_sites())
    assert graph.sites() == ()
