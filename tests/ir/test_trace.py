"""Traced graphs against the models themselves: parameters, FLOPs by torch's counter, tokens of a real run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from tiny import batch, tiny_config, tiny_llava
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    AutoModelForImageTextToText,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    SiglipVisionConfig,
)

from foveate.ir.graph import Graph
from foveate.ir.tracing import trace

COUNTED = ("gemm", "attention", "convolution")


def real_widths() -> LlavaConfig:
    """LLaVA-1.5 7B with four encoder and three decoder layers."""
    vision = CLIPVisionConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=4,
        num_attention_heads=16,
        image_size=336,
        patch_size=14,
    )
    text = LlamaConfig(vocab_size=32064, num_hidden_layers=3)
    return LlavaConfig(vision_config=vision, text_config=text, image_token_id=32000)


def with_siglip() -> LlavaConfig:
    """A tower without [CLS] and with a pooling head, whose every patch enters the decoder."""
    vision = SiglipVisionConfig(
        hidden_size=48, intermediate_size=80, num_hidden_layers=3, num_attention_heads=4, image_size=56, patch_size=14
    )
    config = tiny_config(decoder="llama")
    config.vision_config, config.vision_feature_select_strategy = vision, "full"
    return config


def with_cls_kept() -> LlavaConfig:
    config = tiny_config()
    config.vision_feature_select_strategy = "full"
    return config


CONFIGS = {
    "qwen3": tiny_config,
    "llama": lambda: tiny_config(decoder="llama"),
    "siglip": with_siglip,
    "cls kept": with_cls_kept,
    "real widths": real_widths,
}


@pytest.fixture(params=CONFIGS, scope="module")
def config(request: pytest.FixtureRequest) -> LlavaConfig:
    return CONFIGS[request.param]()


@pytest.fixture(scope="module")
def on_meta(config: LlavaConfig) -> Any:
    with torch.device("meta"):
        return AutoModelForImageTextToText.from_config(config)


@pytest.fixture(scope="module")
def graph(config: LlavaConfig) -> Graph:
    side = config.vision_config.image_size
    return trace(config, f"image=1x{side}x{side},text=40")


def by_convention(graph: Graph, stage: str) -> int:
    costs = (
        op.convention_flops(batch=1, tokens=tokens, context=tokens)
        for tokens, op in graph.stage(stage).ops()
        if op.kind in COUNTED
    )
    return int(sum(costs))


def counted(module: nn.Module, *arguments: torch.Tensor, **named: Any) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(*arguments, **named)
    return counter.get_total_flops()


def test_parameters_add_up_to_the_models(graph: Graph, on_meta: Any) -> None:
    assert graph.parameters == on_meta.num_parameters()
    assert graph.stage("image.encoder").parameters == sum(p.numel() for p in on_meta.model.vision_tower.parameters())


def test_tied_embeddings_count_once() -> None:
    config = tiny_config()
    config.tie_word_embeddings = config.text_config.tie_word_embeddings = True
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    traced = trace(model, "image=1x56x56")
    assert traced.parameters == model.num_parameters()
    assert traced.stage("head").parameters == 0


def test_encoder_flops_are_those_that_torch_counts(graph: Graph, on_meta: Any, config: LlavaConfig) -> None:
    side = config.vision_config.image_size
    pixels = torch.empty(1, 3, side, side, device="meta")
    assert by_convention(graph, "image.encoder") == pytest.approx(counted(on_meta.model.vision_tower, pixels), rel=1e-3)


def test_projector_flops_are_those_that_torch_counts(graph: Graph, on_meta: Any, config: LlavaConfig) -> None:
    features = torch.empty(1, graph.stage("image.projector").tokens_in, config.vision_config.hidden_size, device="meta")
    expected = counted(on_meta.model.multi_modal_projector, features)
    assert by_convention(graph, "image.projector") == pytest.approx(expected, rel=1e-3)


def test_decoder_flops_are_those_that_torch_counts(graph: Graph, on_meta: Any, config: LlavaConfig) -> None:
    length = graph.decoder.tokens_in
    # With a 4-d mask attention is not causal to torch, and on meta it is counted: the full N x N of papers.
    expected = counted(
        on_meta.model.language_model,
        inputs_embeds=torch.empty(1, length, config.text_config.hidden_size, device="meta"),
        attention_mask=torch.empty(1, 1, length, length, dtype=torch.bool, device="meta"),
        position_ids=torch.empty(1, length, dtype=torch.long, device="meta"),
        use_cache=False,
    )
    assert by_convention(graph, "decoder") == pytest.approx(expected, rel=1e-3)


def test_head_flops_are_those_of_one_row(graph: Graph, on_meta: Any, config: LlavaConfig) -> None:
    row = torch.empty(1, 1, config.text_config.hidden_size, device="meta")
    assert by_convention(graph, "head") == counted(on_meta.lm_head, row)


@contextmanager
def recorded(named: dict[str, nn.Module]) -> Iterator[dict[str, list[tuple[int, ...]]]]:
    """Shapes of what each module returns, in order of its calls."""
    shapes: dict[str, list[tuple[int, ...]]] = defaultdict(list)

    def note(name: str, output: Any) -> None:
        first = output[0] if isinstance(output, tuple) else getattr(output, "last_hidden_state", output)
        shapes[name].append(tuple(first.shape))

    handles = [
        module.register_forward_hook(lambda _, __, output, name=name: note(name, output))
        for name, module in named.items()
    ]
    try:
        yield shapes
    finally:
        for handle in handles:
            handle.remove()


def test_token_counts_are_those_of_a_real_run() -> None:
    images, words = 2, 7
    model, inputs = tiny_llava(), batch([(images, words)])
    graph = trace(model, f"image={images}x56x56,text={words + 1}")  # and the start token
    tower, decoder = model.model.vision_tower, model.get_decoder()
    parts = {f"image.encoder.{i}": layer for i, layer in enumerate(tower.encoder.layers)}
    parts |= {f"decoder.{i}": layer for i, layer in enumerate(decoder.layers)}
    parts |= {"image.encoder.embeddings": tower.embeddings, "decoder.norm": decoder.norm, "head": model.lm_head}
    parts |= {"image.projector": model.model.multi_modal_projector}
    with recorded(parts) as shapes, torch.no_grad():
        model(**inputs, logits_to_keep=1)
    encoder, projector = graph.stage("image.encoder"), graph.stage("image.projector")
    assert shapes["image.encoder.embeddings"] == [(encoder.sequences, encoder.tokens[0], encoder.width)]
    for i in range(encoder.depth):
        tokens = encoder.tokens[encoder.first + i]
        assert shapes[f"image.encoder.{i}"] == [(encoder.sequences, tokens, encoder.width)]
    assert shapes["image.projector"] == [(projector.sequences, projector.tokens_out, projector.width)]
    for i in range(graph.decoder.depth):
        tokens = graph.decoder.tokens[graph.decoder.first + i]
        assert shapes[f"decoder.{i}"] == [(1, tokens, graph.decoder.width)]
    assert shapes["decoder.norm"] == [(1, graph.decoder.tokens_out, graph.decoder.width)]
    assert shapes["head"][0][:2] == (1, graph.stage("head").tokens_in)
    assert graph.decoder.tokens_in == inputs["input_ids"].shape[1]


@pytest.mark.parametrize(("layer", "selected"), [(-1, 2), (-2, 1), (-3, 0), (1, 0), (3, 2)])
def test_the_selected_encoder_layer_is_the_one_whose_output_the_projector_takes(layer: int, selected: int) -> None:
    model = tiny_llava(vision_feature_layer=layer)
    assert trace(model, "image=1x56x56").stage("image.encoder").selected == selected
    outputs: list[torch.Tensor] = []
    hooked = model.model.vision_tower.encoder.layers[selected].register_forward_hook(
        lambda _, __, output: outputs.append(output[0] if isinstance(output, tuple) else output)
    )
    taken: list[torch.Tensor] = []
    model.model.multi_modal_projector.register_forward_pre_hook(lambda _, arguments: taken.append(arguments[0]))
    with torch.no_grad():
        model(**batch([(1, 3)]))
    hooked.remove()
    assert torch.equal(outputs[0][:, 1:], taken[0])


def test_a_live_model_and_its_configuration_give_the_same_graph() -> None:
    model = tiny_llava()
    assert trace(model, "image=2x56x56") == trace(tiny_config(), "image=2x56x56")


def test_the_default_workload_is_one_picture_of_the_towers_size() -> None:
    graph = trace(tiny_config())
    assert str(graph.workload) == "image=1x56x56,text=32,new=16"


def test_text_alone_leaves_the_decoder() -> None:
    graph = trace(tiny_config(), "text=5")
    assert [stage.name for stage in graph.stages] == ["decoder", "head"]
    assert graph.decoder.tokens_in == 5


def test_the_cache_of_a_layer_is_as_wide_as_its_keys_and_values() -> None:
    model = tiny_llava()
    with torch.no_grad():
        cache = model(**batch([(1, 3)]), use_cache=True).past_key_values
    width = sum(kept.shape[1] * kept.shape[3] for kept in (cache.layers[0].keys, cache.layers[0].values))
    assert trace(model, "image=1x56x56").decoder.key_value_width == width


def test_tracing_leaves_a_live_model_as_it_was() -> None:
    model = tiny_llava()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trace(model)
    assert isinstance(model, LlavaForConditionalGeneration)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("images", [1, 2])
def test_a_pointwise_projector_is_known_as_one_for_any_number_of_pictures(images: int) -> None:
    projector = trace(tiny_config(), f"image={images}x56x56").stage("image.projector")
    assert projector.mixing == "pointwise"
    assert (projector.sequences, projector.tokens_in, projector.tokens_out) == (images, 16, 16)


def test_a_callers_inference_mode_changes_nothing() -> None:
    with torch.inference_mode():
        inside = trace(tiny_llava(), "image=1x56x56,text=8,new=2")
    assert inside.to_data() == trace(tiny_llava(), "image=1x56x56,text=8,new=2").to_data()
