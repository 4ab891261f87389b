"""Tiny random LLaVA models and inputs for them."""

from __future__ import annotations

from typing import Any

import torch
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration, Qwen3Config

IMAGE_TOKEN = 3
PAD_TOKEN = 0
VOCABULARY = 64
DEPTH = 4


def tiny_config(*, decoder: str = "qwen3", image_size: int = 56, vision_feature_layer: int = -2) -> LlavaConfig:
    """A LLaVA of 16 visual tokens with grouped-query attention, small enough for exact comparisons."""
    shape: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": DEPTH,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "pad_token_id": PAD_TOKEN,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    text = Qwen3Config(**shape, head_dim=8) if decoder == "qwen3" else LlamaConfig(**shape)
    vision = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        image_size=image_size,
        patch_size=14,
    )
    return LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_id=IMAGE_TOKEN,
        vision_feature_layer=vision_feature_layer,
        tie_word_embeddings=False,
    )


def tiny_llava(*, attention: str = "sdpa", seed: int = 0, **options: Any) -> LlavaForConditionalGeneration:
    """A tiny model with weights large enough that every token matters to the logits."""
    torch.manual_seed(seed)
    model = LlavaForConditionalGeneration._from_config(tiny_config(**options), attn_implementation=attention).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    return model


def prompt(images: int, text: int, *, seed: int) -> list[int]:
    """Token ids: a start token, then images each followed by text, `text` words in all."""
    generator = torch.Generator().manual_seed(seed)
    words = torch.randint(5, VOCABULARY, (text,), generator=generator).tolist()
    ids = [1]
    for place in range(images):
        ids += [IMAGE_TOKEN] * 16 + words[place : place + 1]
    return ids + words[images:]


def batch(rows: list[tuple[int, int]], *, side: str = "left", seed: int = 0) -> dict[str, torch.Tensor]:
    """Inputs of several rows, each (images, words), padded on `side`.

    Returns:
        input_ids (B, L), attention_mask (B, L), pixel_values (images, 3, 56, 56).
    """
    prompts = [prompt(images, text, seed=seed + row) for row, (images, text) in enumerate(rows)]
    width = max(map(len, prompts))
    ids, mask = [], []
    for row in prompts:
        fill, ones = [PAD_TOKEN] * (width - len(row)), [1] * len(row)
        zeros = [0] * len(fill)
        ids.append(fill + row if side == "left" else row + fill)
        mask.append(zeros + ones if side == "left" else ones + zeros)
    generator = torch.Generator().manual_seed(seed)
    pictures = torch.randn(sum(images for images, _ in rows), 3, 56, 56, generator=generator)
    return {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask), "pixel_values": pictures}
