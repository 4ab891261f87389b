"""Random-weight models of 20 M to 500 M parameters that stand in for real ones where only time matters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

IMAGE_TOKEN = 3


@dataclass(frozen=True)
class Tower:
    """Layers, channels, MLP channels and heads of an encoder or a decoder; `groups` of key/value heads."""

    layers: int
    width: int
    mlp: int
    heads: int
    groups: int | None = None


@dataclass(frozen=True)
class Size:
    """A LLaVA: its towers, picture, patch and vocabulary; `decoder` is the transformers type of its text model."""

    name: str
    encoder: Tower
    text: Tower
    side: int
    patch: int
    vocabulary: int
    decoder: str = "llama"


SIZES = (
    Size("20M", Tower(6, 256, 1024, 4), Tower(6, 384, 1024, 6), 224, 16, 4096),
    Size("50M", Tower(12, 384, 1536, 6), Tower(8, 448, 1536, 7), 192, 16, 8192),
    Size("110M", Tower(8, 512, 2048, 8), Tower(8, 768, 2304, 12), 224, 16, 8192, "mistral"),
    Size("190M", Tower(12, 512, 2048, 8), Tower(12, 960, 2560, 15, 5), 224, 16, 16384),
    Size("300M", Tower(12, 768, 3072, 12), Tower(10, 1152, 3584, 18, 6), 224, 14, 16384, "qwen2"),
    Size("500M", Tower(12, 768, 3072, 12), Tower(14, 1408, 4224, 22, 11), 192, 16, 16384),
)  # fmt: skip
"""The models that the cost model is judged on; none of them is among those that calibration times."""

SEVEN_BILLION = Size("llava-1.5-7b", Tower(24, 1024, 4096, 16), Tower(32, 4096, 11008, 32), 336, 14, 32064)


def random_llava(size: Size, *, dtype: torch.dtype = torch.float32, device: str = "cpu") -> Any:
    """`size` with random weights, for inference."""
    from transformers import CLIPVisionConfig, LlavaConfig, LlavaForConditionalGeneration

    vision = CLIPVisionConfig(
        hidden_size=size.encoder.width, intermediate_size=size.encoder.mlp, num_hidden_layers=size.encoder.layers,
        num_attention_heads=size.encoder.heads, image_size=size.side, patch_size=size.patch,
        projection_dim=size.encoder.width,
    )  # fmt: skip
    config = LlavaConfig(vision_config=vision, text_config=_text_config(size), image_token_index=IMAGE_TOKEN)
    return on_device(LlavaForConditionalGeneration, config, dtype=dtype, device=device)


def random_qwen(*, layers: int | None = None, dtype: torch.dtype = torch.bfloat16, device: str = "cuda") -> Any:
    """Qwen2.5-VL with random weights: the 7B model's shapes, with `layers` layers in both towers where given."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    vision = {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "out_hidden_size": 3584}
    text = {
        "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28,
        "num_key_value_heads": 4, "vocab_size": 152064, "max_position_embeddings": 32768,
    }  # fmt: skip
    if layers is not None:
        vision |= {"depth": layers, "hidden_size": 64, "intermediate_size": 128, "num_heads": 4, "out_hidden_size": 64}
        text |= {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": layers, "num_attention_heads": 4}
        text |= {"num_key_value_heads": 2}
    text |= {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": _sections(text)}}
    config = Qwen2_5_VLConfig(vision_config=vision, text_config=text)
    return on_device(Qwen2_5_VLForConditionalGeneration, config, dtype=dtype, device=device)


def on_device(model_class: Any, config: Any, *, dtype: torch.dtype, device: str) -> Any:
    """A model with random weights made where it will run, so that 7 B parameters never lie in host memory."""
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            return model_class(config).eval().requires_grad_(False)
    finally:
        torch.set_default_dtype(before)


def _text_config(size: Size) -> Any:
    from transformers import AutoConfig

    text = size.text
    return AutoConfig.for_model(
        size.decoder, hidden_size=text.width, intermediate_size=text.mlp, num_hidden_layers=text.layers,
        num_attention_heads=text.heads, num_key_value_heads=text.groups or text.heads, vocab_size=size.vocabulary,
        head_dim=text.width // text.heads, max_position_embeddings=8192, sliding_window=None,
    )  # fmt: skip


def _sections(text: dict[str, Any]) -> list[int]:
    """Rotary channels of time, height and width: a quarter and twice three eighths of half a head."""
    half = text["hidden_size"] // text["num_attention_heads"] // 2
    return [half - 2 * (3 * half // 8), 3 * half // 8, 3 * half // 8]
