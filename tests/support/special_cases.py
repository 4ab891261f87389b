"""Families in the matrix whose media do not enter the decoder's sequence from outside."""

from __future__ import annotations

from typing import Any

import torch
import transformers as t
from live_families import AUDIO, IMAGE, TEXT, Case, Medium, finish, pictures, plain, with_separators


def phi4_multimodal() -> Any:
    vision = t.Phi4MultimodalVisionConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        image_size=56,
        patch_size=14,
        crop_size=56,
        image_token_id=IMAGE,
    )
    audio = t.Phi4MultimodalAudioConfig(
        hidden_size=32,
        intermediate_size=48,
        num_blocks=2,
        num_attention_heads=4,
        input_size=16,
        nemo_conv_channels=16,
        ext_pw_out_channel=32,
        depthwise_separable_out_channel=32,
        time_reduction=4,
        audio_token_id=AUDIO,
        bias_max_distance=20,
    )
    config = t.Phi4MultimodalConfig(
        **{**TEXT, "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 1.0}},
        vision_config=vision,
        audio_config=audio,
        sliding_window=None,
        max_position_embeddings=128,
        original_max_position_embeddings=128,
    )
    return finish(t.Phi4MultimodalForCausalLM._from_config(config, attn_implementation="sdpa"))


def tiled_pictures(row: int) -> tuple[list[Medium], dict[str, torch.Tensor]]:
    """Tiles of 4 x 4 patches pooled to 2 x 2; the detail view loses the patches that its mask leaves out."""
    rows, columns = ((1, 2), (2, 1), (1, 1))[row]
    useful = ((2, 3), (4, 2), (2, 2))[row]
    pixels, mask = torch.zeros(1, 3, 3, 56, 56), torch.zeros(1, 3, 4, 4)
    pixels[0, : 1 + rows * columns] = pictures(1 + rows * columns, seed=row)
    mask[0, 0] = 1
    for tile in range(rows * columns):
        top, left = tile // columns * 2, tile % columns * 2
        high, wide = min(2, useful[0] - top), min(2, useful[1] - left)
        mask[0, 1 + tile, : 2 * high, : 2 * wide] = 1
    detail = useful[0] * (useful[1] + 1)
    ends = {r * (useful[1] + 1) + useful[1] for r in range(useful[0])} | {detail, detail + 3, detail + 6}
    given = {
        "image_pixel_values": pixels,
        "image_attention_mask": mask,
        "image_sizes": torch.tensor([[56 * rows, 56 * columns]]),
    }
    return [with_separators(IMAGE, detail + 1 + 6, ends)], given


def reduced_sounds(row: int) -> tuple[list[Medium], dict[str, torch.Tensor]]:
    """Two strided convolutions: a quarter as many tokens as frames."""
    frames = (32, 24, 16)[row]
    heard = torch.zeros(1, 32, dtype=torch.bool)
    heard[0, :frames] = True
    features = torch.randn(1, 32, 16, generator=torch.Generator().manual_seed(row))
    given = {
        "audio_input_features": features,
        "audio_attention_mask": heard,
        "audio_embed_sizes": torch.tensor([frames // 4]),
    }
    return [plain(AUDIO, frames // 4)], given


SPECIAL_CASES = (
    Case("phi4_multimodal", phi4_multimodal, tiled_pictures),
    Case("phi4_multimodal-audio", phi4_multimodal, reduced_sounds, "audio"),
)
