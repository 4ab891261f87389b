"""Taps read thin attention rows and change nothing: not the implementation, not the outputs."""

from __future__ import annotations

import pytest
import torch
from tiny import batch, tiny_llava

from foveate.common.errors import BadInput
from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.runtime import apply
from foveate.runtime.reading import taps


def eager_attentions(model, inputs):
    """Full attention maps of an eager copy of the model: the vision tower's and the decoder's, by layer."""
    copy = tiny_llava(attention="eager")
    copy.load_state_dict(model.state_dict())
    with torch.no_grad():
        vision = copy.model.vision_tower(inputs["pixel_values"], output_attentions=True).attentions
        decoder = copy(**inputs, output_attentions=True).attentions
    return vision, decoder


def kept_by(model, inputs, plan):
    with torch.no_grad(), apply(model, plan) as handle:
        model(**inputs)
    (selection,) = handle.selections.values()
    return selection


@pytest.mark.parametrize("layer", [None, -1, -2, 1])
def test_the_cls_row_is_that_of_the_layer_asked_for(layer):
    model, inputs = tiny_llava(), batch([(2, 4)])
    vision, _ = eager_attentions(model, inputs)
    numbered = {None: 1, -1: 2, -2: 1, 1: 0}[layer]  # vision_feature_layer is -2 of three layers
    row = vision[numbered].mean(1)[:, 0, 1:]
    expected = row.topk(4, dim=-1).indices.sort(-1).values
    plan = Plan.of(Placement("fastervlm", "image.projector.output", 0.25, {} if layer is None else {"layer": layer}))
    assert torch.equal(kept_by(model, inputs, plan), expected)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("site", [1, 2, 3])
def test_the_last_row_is_that_of_the_last_prompt_token(site, side):
    model, inputs = tiny_llava(), batch([(1, 4), (1, 8), (2, 6)], side=side)
    _, decoder = eager_attentions(model, inputs)
    length = inputs["input_ids"].shape[1]
    last = (inputs["attention_mask"] * torch.arange(1, length + 1)).argmax(1)
    row = decoder[site - 1].mean(1)[torch.arange(3), last]
    images = (inputs["input_ids"] == 3).nonzero().view(-1, 16, 2)
    scores = row[images[..., 0], images[..., 1]]
    expected = scores.topk(4, dim=-1).indices.sort(-1).values
    plan = Plan.of(Placement("fastv", f"decoder.layers.{site}", 0.25))
    assert torch.equal(kept_by(model, inputs, plan), expected)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_tapped_module_keeps_its_implementation_and_its_output(attention):
    model, inputs = tiny_llava(attention=attention), batch([(1, 4)])
    module = model.get_decoder().layers[1].self_attn
    config = module.config
    with torch.no_grad():
        plain = model(**inputs).logits
        first, second = taps.install(module, -1), taps.install(module, 0)
        assert attention in module.config._attn_implementation
        assert model.config._attn_implementation == attention
        assert torch.equal(model(**inputs).logits, plain)
    assert first.take().shape == second.take().shape == (1, inputs["input_ids"].shape[1])
    taps.remove(first)
    assert module.config is not config
    taps.remove(second)
    assert module.config is config


def test_an_empty_tap_says_why():
    tap = taps.install(tiny_llava().get_decoder().layers[0].self_attn)
    with pytest.raises(BadInput, match="attention interface"):
        tap.take()


def test_encoder_outputs_computed_before_the_plan_are_refused_where_their_attention_is_needed():
    model, inputs = tiny_llava(), batch([(1, 4)])
    pixels = inputs.pop("pixel_values")
    with torch.no_grad():
        outside = model.get_image_features(pixels, return_dict=True)
        with apply(model, Plan.of(Placement("fastervlm", "image.projector.output", 0.25))) as handle:
            with pytest.raises(BadInput, match="before the plan was applied"):
                model(**inputs, mm_encoder_outputs={"image": outside})
            inside = model.get_image_features(pixels, return_dict=True)
            model.get_image_features(torch.randn_like(pixels), return_dict=True)
            model(**inputs, mm_encoder_outputs={"image": inside})
            reused = handle.selections["image.projector.output"]
            model(**inputs, pixel_values=pixels)
            assert torch.equal(reused, handle.selections["image.projector.output"])


def test_a_tower_without_cls_cannot_give_its_row():
    from tiny import tiny_config
    from transformers import LlavaConfig, LlavaForConditionalGeneration, SiglipVisionConfig

    base = tiny_config()
    vision = SiglipVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, image_size=56, patch_size=14
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=base.text_config,
        image_token_id=3,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
    )
    with pytest.raises(BadInput, match="no \\[CLS\\]"):
        apply(
            LlavaForConditionalGeneration(config),
            Plan.of(Placement("fastervlm", "image.projector.output", 0.25)),
        )
