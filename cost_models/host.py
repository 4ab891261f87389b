"""What the host adds around the kernels: measured on tiny real models, where it is nearly all of the time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.graph import Graph
from ..ir.tracing import trace
from .model import CostModel
from .profile import DeviceProfile

if TYPE_CHECKING:
    from .sweep import Bench

_WORKLOAD = "image=1x64x64,text=8,new=2"
_IMAGE_TOKEN = 1


@dataclass(frozen=True)
class Toy:
    """A random-weight LLaVA: its graph, one prefill of it, and the counts that the host's time depends on."""

    name: str
    graph: Graph
    run: Callable[[], object]

    @property
    def calls(self) -> int:
        """Ops that the host starts in one prefill."""
        return sum(len(layer.ops) for stage in self.graph.stages for layer in stage.layers)


def toys(on: Bench) -> tuple[Toy, ...]:
    """Tiny models of different depths, so that time per op and time per stage can be told apart."""
    depths = ((2, 2), (12, 2), (2, 12), (8, 8))
    return tuple(toy(on, encoder=encoder, decoder=decoder) for encoder, decoder in depths)


def held_out(on: Bench) -> tuple[Toy, ...]:
    """Models of everyday proportions, larger than the toys, to check a profile against."""
    return (
        toy(on, encoder=4, decoder=4, width=256, heads=4, workload="image=1x224x224,text=32,new=2", side=224),
        toy(on, encoder=2, decoder=6, width=384, heads=6, workload="image=1x224x224,text=128,new=2", side=224),
        toy(on, encoder=6, decoder=2, width=512, heads=8, workload="image=1x160x160,text=16,new=2", side=160),
    )


def toy(
    on: Bench, *, encoder: int, decoder: int, width: int = 64, heads: int = 2, workload: str = _WORKLOAD, side: int = 64
) -> Toy:
    """A LLaVA of `encoder` and `decoder` layers with random weights, `width` channels in both."""
    import torch
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    vision = CLIPVisionConfig(
        hidden_size=width, intermediate_size=4 * width, num_hidden_layers=encoder, num_attention_heads=heads,
        image_size=side, patch_size=16, projection_dim=width,
    )  # fmt: skip
    text = LlamaConfig(
        hidden_size=width, intermediate_size=4 * width, num_hidden_layers=decoder, num_attention_heads=heads,
        num_key_value_heads=heads, vocab_size=512, max_position_embeddings=4096,
    )  # fmt: skip
    config = LlavaConfig(
        vision_config=vision, text_config=text, image_token_index=_IMAGE_TOKEN, vision_feature_layer=-1
    )
    model = on.module(LlavaForConditionalGeneration(config))
    graph = trace(model, workload, name=f"{encoder}+{decoder} layers of {width}")
    inputs = _inputs(on, graph, side)
    return Toy(graph.model, graph, lambda: _prefill(model, inputs, torch.inference_mode))


def _inputs(on: Bench, graph: Graph, side: int) -> dict[str, Any]:
    """One picture and the workload's text, as a processor gives them."""
    import torch

    media = graph.layouts["image"].count
    ids = torch.full((1, media + graph.workload.text_tokens), 7, device=on.device)
    ids[:, 1 : 1 + media] = _IMAGE_TOKEN
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": on.tensor(1, 3, side, side)}


def _prefill(model: Any, inputs: dict[str, Any], inference_mode: Any) -> object:
    with inference_mode():
        return model(**inputs, use_cache=True, logits_to_keep=1).logits


def fit_host(profile: DeviceProfile, dtype: str, measured: list[tuple[Toy, float]]) -> DeviceProfile:
    """`profile` with the host times that explain the toys' medians (seconds) best.

    Solves seconds - device = calls * call_overhead + stages * stage_overhead by least squares, neither below zero. On
    a GPU the host runs ahead of the device, so the toys' whole time is the host's.
    """
    bare = CostModel(replace(profile, call_overhead_us=0.0, stage_overhead_us=0.0), dtype=dtype)
    device = np.array([0.0 if profile.kind == "gpu" else bare.predict(toy.graph).ttft_ms for toy, _ in measured])
    left = 1e3 * (1e3 * np.array([seconds for _, seconds in measured]) - device)
    counts = np.array([[toy.calls, len(toy.graph.stages)] for toy, _ in measured], dtype=np.float64)
    call, stage = np.linalg.lstsq(counts, left, rcond=None)[0]
    if stage < 0:
        call, stage = float((counts[:, 0] @ left) / (counts[:, 0] @ counts[:, 0])), 0.0
    return replace(profile, call_overhead_us=round(max(float(call), 0.0), 3), stage_overhead_us=round(float(stage), 3))
