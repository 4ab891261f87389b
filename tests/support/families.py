"""Small models of many families: default configurations with few layers and a narrow decoder."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from foveate.ir.families.defaults import default_config
from foveate.ir.families.row import Row
from foveate.ir.families.table import row_of
from foveate.ir.sources import built_on_meta
from foveate.ir.workload import Workload

LAYERS = 2
WIDTH, HEADS, HEAD = 256, 2, 128
_DEPTHS = ("num_hidden_layers", "depth", "encoder_layers", "num_layers", "decoder_layers")
_DECODER = {
    "hidden_size": WIDTH,
    "intermediate_size": 256,
    "num_attention_heads": HEADS,
    "num_key_value_heads": 1,
    "head_dim": HEAD,
    "word_embed_proj_dim": WIDTH,
    "ffn_dim": 256,
    "layer_types": None,
}


def small_config(model_type: str) -> Any:
    """The completed default configuration of a type with two layers in each stack and a decoder 256 wide."""
    config = default_config(model_type)
    config = getattr(config, "thinker_config", config)
    for part in parts(config):
        _shrink(part)
    text = config.get_text_config(decoder=True)
    for name, value in _DECODER.items():
        if name != "layer_types" and getattr(text, name, None) is not None:
            setattr(text, name, value)
    for number, modality in enumerate(("image", "video", "audio")):  # several defaults lie outside the vocabulary
        for name in (f"{modality}_token_id", f"{modality}_token_index"):
            if isinstance(getattr(config, name, None), int):
                setattr(config, name, 11 + number)
    for part in parts(config):
        for name in ("out_hidden_size", "text_hidden_size", "output_dim", "projection_dim"):
            if part is not text and getattr(part, name, None) is not None:
                setattr(part, name, WIDTH)
    if config.model_type == "ovis2":
        config.hidden_size = WIDTH
    perceiver = getattr(config, "perceiver_config", None)
    if perceiver is not None:
        perceiver.hidden_size = WIDTH
    vision = getattr(config, "vision_config", None)
    if hasattr(vision, "embed_dim") and hasattr(vision, "hidden_size"):  # Qwen2-VL's name for the width that leaves it
        vision.hidden_size = WIDTH
    return config


def parts(config: Any) -> list[Any]:
    """A configuration and those inside it."""
    found = [config]
    for value in list(vars(config).values()):
        if hasattr(value, "to_dict") and hasattr(value, "model_type"):
            found += parts(value)
    return found


def _shrink(config: Any) -> None:
    for name in _DEPTHS:
        if isinstance(getattr(config, name, None), int) and getattr(config, name) > LAYERS:
            setattr(config, name, LAYERS)
    if config.model_type == "pixtral":
        config.image_size = 280  # attention over the 12 100 patches of its own size takes seconds
    if isinstance(getattr(config, "layer_types", None), list):
        config.layer_types = config.layer_types[:LAYERS]


def real_model(config: Any) -> nn.Module:
    """The model of a configuration with random weights, on the CPU."""
    model = built_on_meta(config).to_empty(device="cpu")
    generator = torch.Generator().manual_seed(0)
    for tensor in [*model.parameters(), *model.buffers()]:
        if tensor.dtype.is_floating_point:
            tensor.data.normal_(0.0, 0.02, generator=generator)
        else:
            tensor.data.zero_()
    return model.eval()


def real_arguments(row: Row, model: nn.Module, workload: Workload) -> dict[str, Any]:
    """The arguments of one request with random numbers in place of shapes."""
    from foveate.ir.flow import Tracer

    tracer = Tracer(built_on_meta(row.config), row_of(row.config), workload)
    tracer.graph("request", str(row.config.model_type), "")
    ids, kinds = tracer.prompt(tracer.media)
    arguments = row.text(ids, kinds, model)
    for media in tracer.media.values():
        arguments |= media.arguments | media.extra
    filled = {name: _filled(value) for name, value in arguments.items()}
    return {**filled, **row.settings(model)}


def _filled(value: Any) -> Any:
    if isinstance(value, torch.Tensor) and value.is_meta:
        return torch.randn(value.shape, generator=torch.Generator().manual_seed(1))
    return value
