"""LLaVA over a DINOv2 tower: plans act on its patches, and passes read its [CLS], as with a CLIP tower."""

from __future__ import annotations

import pytest
import torch
from transformers import Dinov2Config, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.ir.tracing import trace
from foveate.runtime import apply

PATCHES, IMAGE = 16, 5


@pytest.fixture
def model() -> LlavaForConditionalGeneration:
    torch.manual_seed(0)
    vision = Dinov2Config(hidden_size=32, num_hidden_layers=4, num_attention_heads=2, image_size=56, patch_size=14)
    text = LlamaConfig(hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, vocab_size=64)
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_index=IMAGE, vision_feature_layer=-2)
    return LlavaForConditionalGeneration(config).eval()


@pytest.fixture
def inputs() -> dict[str, torch.Tensor]:
    pixels = torch.randn(2, 3, 56, 56, generator=torch.Generator().manual_seed(1))
    return {"input_ids": torch.tensor([[IMAGE] * PATCHES + [7, 8]] * 2), "pixel_values": pixels}


def states(model: LlavaForConditionalGeneration, pixels: torch.Tensor, layer: int) -> torch.Tensor:
    """What leaves the tower's first `layer` layers, run by hand."""
    tower = model.model.vision_tower
    hidden = tower.embeddings(pixels)
    for module in tower.encoder.layer[:layer]:
        hidden = module(hidden)
    return hidden


def test_fastervlm_keeps_what_the_class_token_attends_to(model, inputs) -> None:
    with apply(model, Plan.of(Placement("fastervlm", "image.projector.output", 0.25))) as handle, torch.no_grad():
        model(**inputs)
        kept = handle.selections["image.projector.output"]
    with torch.no_grad():
        layer = model.model.vision_tower.encoder.layer[2]  # whose output vision_feature_layer -2 takes
        hidden = layer.norm1(states(model, inputs["pixel_values"], 2))
        query, key = (
            projection(hidden).view(2, PATCHES + 1, 2, 16).transpose(1, 2)
            for projection in (layer.attention.q_proj, layer.attention.k_proj)
        )
        row = (query[:, :, :1] @ key.mT / 4).softmax(dim=-1)[:, :, 0, 1:].mean(dim=1)
    assert torch.equal(kept, row.topk(4).indices.sort(dim=-1).values)


def test_dropping_in_the_tower_is_running_it_on_what_remains(model, inputs) -> None:
    seen = []
    model.model.multi_modal_projector.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    with apply(model, Plan.of(Placement("random", "image.encoder.layers.2", 0.5))) as handle, torch.no_grad():
        model(**inputs)
        kept = handle.selections["image.encoder.layers.2"]
    with torch.no_grad():
        hidden = states(model, inputs["pixel_values"], 2)
        index = torch.cat([torch.zeros(2, 1, dtype=torch.int64), kept + 1], dim=1)
        short = hidden.gather(1, index[..., None].expand(-1, -1, 32))
        expected = model.model.vision_tower.encoder.layer[2](short)[:, 1:]
    assert (seen[-1] - expected).abs().max() < 1e-5


@pytest.mark.parametrize("method", ["tome", "evit"])
def test_methods_in_the_tower_run_and_leave_no_trace(model, inputs, method: str) -> None:
    with torch.no_grad():
        plain = model(**inputs).logits
        with apply(model, Plan.of(Placement(method, "image.encoder.layers.1.mid", 0.5))) as handle:
            model(**inputs)
            assert handle.selections["image.encoder.layers.1.mid"].shape == (2, 8)
        assert torch.equal(model(**inputs).logits, plain)


def test_the_graph_knows_its_grid(model) -> None:
    graph = trace(model, "image=1x56x56,text=2,new=1")
    assert graph.layouts["image"].grid == (1, 4, 4)
    assert "image.encoder.layers.1.mid" in map(str, graph.sites())
