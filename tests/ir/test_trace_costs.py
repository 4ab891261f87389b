"""Cost polynomials against fresh traces at counts that they were not laid through, and against a real decoding step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from families import small_config
from tiny import batch, tiny_config, tiny_llava
from torch.utils.flop_counter import FlopCounterMode

from foveate.ir.coverage import COUNTED
from foveate.ir.graph import Graph, Stage
from foveate.ir.tracing import trace

UNSEEN = [
    ("llava", "image=1x56x56,text=40", "image=3x56x56,text=101"),
    ("qwen2_vl", "image=1x224x224,text=40", "image=2x448x336,text=77"),
    ("qwen2_5_vl", "image=1x448x448,text=40", "image=1x896x448,text=23"),
    ("qwen3_vl", "image=1x256x256,text=40", "image=2x512x256,text=77"),
    ("gemma3", "image=1x896x896,text=40", "image=2x896x896,text=33"),
    ("internvl", "image=1x448x448,text=40", "image=3x448x448,text=33"),
    ("mistral3", "image=1x280x280,text=40", "image=1x560x280,text=63"),
    ("lfm2_vl", "image=1x256x256,text=40", "image=1x512x256,text=63"),
    ("idefics2", "image=1x224x224,text=40", "image=2x224x224,text=50"),
    ("voxtral", "audio=30s,text=40", "audio=30s,text=51"),
]


def config_of(model_type: str) -> Any:
    return tiny_config() if model_type == "llava" else small_config(model_type)


def numbered(stage: Stage) -> list[tuple[int, Any]]:
    found = zip(stage.tokens, stage.layers, strict=True)
    return list(found)[stage.first : stage.first + stage.depth]


def at(op: Any, count: int, tokens: int) -> dict[str, int]:
    counts = {"batch": count, "tokens": tokens, "context": tokens}
    costs = {"flops": op.flops, "convention": op.convention_flops, "elements": op.elements, "launches": op.launches}
    return {"weights": op.weights, **{name: cost(**counts) for name, cost in costs.items()}}


@pytest.mark.parametrize(("model_type", "seen", "unseen"), UNSEEN)
def test_polynomials_equal_a_fresh_trace_at_unseen_counts(model_type: str, seen: str, unseen: str) -> None:
    config = config_of(model_type)
    first, second = trace(config, seen), trace(config, unseen)
    compared = 0
    for stage in second.stages:
        for (tokens, fresh), (_, known) in zip(numbered(stage), numbered(first.stage(stage.name)), strict=True):
            for new, old in zip(fresh.ops, known.ops, strict=True):
                assert new.name == old.name
                assert at(old, stage.sequences, tokens) == at(new, stage.sequences, tokens), (stage.name, new.name)
                compared += 1
    assert compared > 20


def by_convention(graph: Graph, *, tokens: int, context: int) -> int:
    decoder = graph.decoder
    costs = (
        op.convention_flops(batch=1, tokens=tokens, context=context)
        for layer in decoder.layers
        for op in layer.ops
        if op.kind in COUNTED
    )
    return int(sum(costs))


@pytest.mark.parametrize("options", [{}, {"decoder": "llama"}])
def test_a_decoding_step_over_a_cache_costs_what_torch_counts(options: dict[str, Any]) -> None:
    model = tiny_llava(attention="eager", **options)  # fused attention on the CPU is counted as nothing
    inputs = batch([(1, 3)])
    with torch.no_grad():
        cache = model(**inputs, use_cache=True).past_key_values
        kept = cache.get_seq_length()
        with FlopCounterMode(display=False) as counter:
            model.get_decoder()(
                inputs_embeds=torch.randn(1, 1, 32), past_key_values=cache, position_ids=torch.tensor([[kept]])
            )
    graph = trace(model, "image=1x56x56,text=4")
    assert by_convention(graph, tokens=1, context=kept + 1) == counter.get_total_flops()


def test_a_sliding_window_costs_no_more_than_its_keys() -> None:
    config = small_config("gemma3")
    config.text_config.sliding_window = 64
    config.text_config.layer_types = ["sliding_attention", "full_attention"]
    decoder = trace(config, "text=200").decoder
    near, far = (next(op for op in layer.ops if op.kind == "attention") for _, layer in numbered(decoder))
    long, short = ({"batch": 1, "tokens": n, "context": n} for n in (200, 60))
    assert near.flops(**long) < far.flops(**long)
    assert near.flops(**short) == far.flops(**short)
    assert near.convention_flops(**long) == far.convention_flops(**long)
    pair = near.flops(batch=1, tokens=1, context=1)
    assert near.flops(**long) == pair * sum(min(i + 1, 64) for i in range(200))
    assert near.flops(batch=1, tokens=1, context=200) == pair * 64


def test_active_parameters_of_a_mixture_of_experts() -> None:
    config = small_config("qwen3_vl_moe")
    text = config.text_config
    text.num_experts, text.num_experts_per_tok, text.moe_intermediate_size = 8, 2, 32
    decoder = trace(config, "image=1x256x256").decoder
    expert = 3 * text.hidden_size * text.moe_intermediate_size
    assert decoder.active_parameters is not None
    assert decoder.parameters - decoder.active_parameters == decoder.depth * 6 * expert
