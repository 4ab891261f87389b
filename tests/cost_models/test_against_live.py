"""Exact figures of the cost model against a live model: bytes of the cache, bytes of the weights."""

from __future__ import annotations

import pytest
from tiny import batch, tiny_llava

from foveate.cost_models import CostModel, DeviceProfile
from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.ir.tracing import trace
from foveate.runtime import compare, resolve

PLANS = {
    "nothing": Plan(()),
    "projector": Plan.of(Placement("uniform", "image.projector.output", 0.25)),
    "both": Plan.of(Placement("random", "image.projector.output", 0.5), Placement("random", "decoder.layers.2", 0.25)),
}


@pytest.mark.parametrize("decoder", ["qwen3", "llama"])
def test_cache_bytes_are_those_of_the_live_cache(device: DeviceProfile, decoder: str) -> None:
    model = tiny_llava(decoder=decoder)
    graph = trace(model, "image=1x56x56,text=9,new=1,batch=2")
    live = compare(model, batch([(1, 8), (1, 8)]), PLANS, rounds=1, warmup=0)
    for name, plan in PLANS.items():
        assert CostModel(device).predict(resolve(graph, plan)).kv_bytes == live[name].kv_bytes


def test_weights_are_those_of_the_live_model(device: DeviceProfile) -> None:
    model = tiny_llava()
    graph = trace(model, "image=1x56x56,text=9,new=1")
    found = CostModel(device)
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    others = found.memory_bytes(graph) - weights
    activation = max(found.activation_bytes(graph, stage) for stage in graph.stages)
    assert others == found.kv_bytes(graph) + activation
