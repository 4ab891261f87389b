"""Models of 7 B parameters in bfloat16 with random weights, one request each; with `toy`, towers of a few channels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from _cost_rows import llava_inputs
from _random_models import IMAGE_TOKEN, SEVEN_BILLION, Tower, random_llava, random_qwen

DTYPE = "bfloat16"
Case = tuple[Any, str, Mapping[str, Any]]
"""A model, its request in a workload's words, and the inputs of that request."""


def llava(text: int, toy: bool) -> Case:
    """LLaVA-1.5-7B's shapes: 576 picture tokens."""
    small = Tower(2, 64, 128, 4)
    size = replace(SEVEN_BILLION, encoder=small, text=small, side=56, vocabulary=512) if toy else SEVEN_BILLION
    model = random_llava(size, dtype=getattr(torch, DTYPE), device=_device(toy))
    media = (size.side // size.patch) ** 2
    inputs = llava_inputs(model, size.side, text, image_token=IMAGE_TOKEN, media=media)
    return model, f"image=1x{size.side}x{size.side},text={text},new=9", inputs


def qwen(text: int, toy: bool) -> Case:
    """Qwen2.5-VL-7B's shapes with a picture of 1024 merged tokens."""
    model = random_qwen(layers=4 if toy else None, dtype=getattr(torch, DTYPE), device=_device(toy))
    side, config = (112, 896)[not toy], model.config
    cells, merge = side // config.vision_config.patch_size, config.vision_config.spatial_merge_size
    inputs = llava_inputs(model, side, text, image_token=config.image_token_id, media=(cells // merge) ** 2)
    ids, device = inputs["input_ids"], inputs["input_ids"].device
    ids[:, 0] = config.vision_start_token_id
    kinds = (ids == config.image_token_id).int()
    channels = 3 * config.vision_config.temporal_patch_size * config.vision_config.patch_size**2
    patches = torch.randn(cells * cells, channels, generator=torch.Generator().manual_seed(0))
    grid = torch.tensor([[1, cells, cells]], device=device)
    inputs |= {"pixel_values": patches.to(device, model.dtype), "image_grid_thw": grid, "mm_token_type_ids": kinds}
    return model, f"image=1x{side}x{side},text={text},new=9", inputs


CASES = {"LLaVA-1.5-7B": llava, "Qwen2.5-VL-7B": qwen}


def _device(toy: bool) -> str:
    return "cpu" if toy else "cuda"
