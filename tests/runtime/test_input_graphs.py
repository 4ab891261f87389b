"""Placements before the encoder in a graph: counts equal a fresh trace of the smaller request, and a live run."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from family_cases import BY_NAME
from live_families import batch

from foveate.common.errors import BadInput
from foveate.ir.encoder_sites import ENCODER_SITES
from foveate.ir.graph import Graph, Stage
from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.ir.tracing import trace
from foveate.runtime import apply, resolve
from foveate.runtime.adapters import adapter_of

LARGE, SMALL = "image=1x112x112,text=8", "image=1x56x56,text=8"
LONG, SHORT = "video=8x56x56,text=8", "video=4x56x56,text=8"
SIZES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "video_llama_3", "mistral3")
FRAMES = ("qwen2_vl", "qwen2_5_vl", "video_llama_3", "llava_onevision", "llava_next_video")


@functools.cache
def traced(name: str, workload: str) -> Graph:
    return trace(BY_NAME[name].build().config, workload, name=name)


def media_stages(graph: Graph) -> list[Stage]:
    return [stage for stage in graph.stages if stage.modality is not None]


@pytest.mark.parametrize(
    ("name", "method", "keep", "before", "after"),
    [(name, "downsample", 0.25, LARGE, SMALL) for name in SIZES]
    + [(name, "uniform-frames", 0.5, LONG, SHORT) for name in FRAMES],
)
def test_counts_equal_a_fresh_trace_of_the_smaller_request(
    name: str, method: str, keep: float, before: str, after: str
) -> None:
    placed = resolve(traced(name, before), [Placement(method, f"{before.split('=')[0]}.input", keep)])
    fresh = traced(name, after)
    for ours, theirs in zip(media_stages(placed), media_stages(fresh), strict=True):
        assert (ours.tokens, ours.sequences, ours.leaving) == (theirs.tokens, theirs.sequences, theirs.leaving)
        assert ours.flops(batch=2) == theirs.flops(batch=2)
    first = placed.decoder.first
    assert placed.decoder.tokens[first:] == fresh.decoder.tokens[first:]
    assert placed.decoder.tokens[:first] == traced(name, before).decoder.tokens[:first]  # embedded before they leave
    assert Graph.from_data(placed.to_data()) == placed


@pytest.mark.parametrize("site", ["encoder.layers.1", "encoder.layers.0.mid", "encoder.output"])
@pytest.mark.parametrize(
    ("name", "method", "keep", "before", "after"),
    [(name, "downsample", 0.25, LARGE, SMALL) for name in SIZES]
    + [(name, "uniform-frames", 0.5, LONG, SHORT) for name in FRAMES if (name, "video") in ENCODER_SITES],
)
def test_dropping_inside_the_encoder_too_counts_as_in_the_smaller_request(
    name: str, method: str, keep: float, before: str, after: str, site: str
) -> None:
    modality = before.split("=")[0]
    inside = Placement("random", f"{modality}.{site}", 0.5)
    both = resolve(traced(name, before), [Placement(method, f"{modality}.input", keep), inside])
    alone = resolve(traced(name, after), [inside])
    for ours, theirs in zip(media_stages(both), media_stages(alone), strict=True):
        assert (ours.tokens, ours.sequences, ours.leaving) == (theirs.tokens, theirs.sequences, theirs.leaving)
    first = both.decoder.first
    assert both.decoder.tokens[first:] == alone.decoder.tokens[first:]
    assert both.placed[1].ops == alone.placed[0].ops


@pytest.mark.parametrize("name", ["llava", "vipllava", "paligemma", "internvl", "aya_vision", "cohere2_vision"])
def test_encoder_tokens_are_those_of_a_live_run(name: str) -> None:
    """[CLS] stays and only the patches become fewer."""
    model = BY_NAME[name].build()
    inputs, _ = batch(BY_NAME[name], rows=1)
    placement = Placement("downsample", "image.input", 0.25)
    graph = resolve(traced(name, SMALL), [placement])
    seen: dict[str, list[int]] = {"encoder": [], "decoder": []}

    def count(stage: str) -> Any:
        def hook(layer: Any, args: Any, kwargs: Any) -> None:
            seen[stage].append((args[0] if args else kwargs["hidden_states"]).shape[1])

        return hook

    adapter = adapter_of(model.config)
    for layer in adapter.encoder_layers(model, "image"):
        layer.register_forward_pre_hook(count("encoder"), with_kwargs=True)
    with apply(model, Plan.of(placement)), torch.no_grad():
        for layer in adapter.decoder(model).layers:
            layer.register_forward_pre_hook(count("decoder"), with_kwargs=True)
        model(**inputs)
    encoder = graph.stage("image.encoder")
    assert set(seen["encoder"]) == set(encoder.tokens[encoder.first : encoder.first + encoder.depth])
    text = int(inputs["input_ids"].shape[1]) - len(inputs["pixel_values"]) * graph.layouts["image"].count
    assert set(seen["decoder"]) == {text + graph.placed[0].tokens_out}


def test_the_resizing_is_priced() -> None:
    graph = resolve(traced("qwen2_vl", LARGE), [Placement("downsample", "image.input", 0.25)])
    resize = graph.placed[0].ops[0]
    assert resize.elements(batch=1, tokens=16, context=4) == 4 * 3 * 112 * 112
    whole = resolve(traced("qwen2_vl", LARGE), [Placement("downsample", "image.input", 1.0)])
    assert whole.placed[0].ops == ()


@pytest.mark.parametrize(
    ("name", "workload", "method", "sentence"),
    [
        ("llava_onevision", LONG, "downsample", "lets only its frames change"),
        ("llava", SMALL, "random", "acts at"),
        ("gemma3", SMALL, "downsample", "unknown site"),
    ],
)
def test_what_a_family_cannot_take_is_refused(name: str, workload: str, method: str, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        resolve(traced(name, workload), [Placement(method, f"{workload.split('=')[0]}.input", 0.5)])
