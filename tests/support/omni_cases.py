"""The thinkers of the omni models in the matrix: each modality alone, and all of them in one prompt."""

from __future__ import annotations

from typing import Any

import torch
import transformers as t
from live_families import AUDIO, IMAGE, TEXT, VIDEO, Case, Medium, finish, plain

VISION_START, VISION_END, SOUND_START, SOUND_END = 6, 7, 8, 9
MELS, FRAMES = 8, 32
ROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}
TOWER: dict[str, Any] = {
    "num_mel_bins": MELS,
    "encoder_layers": 2,
    "encoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "d_model": 32,
    "output_dim": 32,
}
EYE: dict[str, Any] = {
    "depth": 2,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_heads": 2,
    "patch_size": 14,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "out_hidden_size": 32,
}
MARKS: dict[str, Any] = {"audio_start_token_id": SOUND_START, "vision_start_token_id": VISION_START}


def qwen2_5_omni() -> Any:
    module = t.models.qwen2_5_omni.configuration_qwen2_5_omni
    config = module.Qwen2_5OmniThinkerConfig(
        audio_config=module.Qwen2_5OmniAudioEncoderConfig(**TOWER, max_source_positions=64, n_window=8),
        vision_config=module.Qwen2_5OmniVisionEncoderConfig(**EYE, window_size=56, fullatt_block_indexes=[1]),
        text_config=module.Qwen2_5OmniTextConfig(**{**TEXT, "rope_parameters": ROPE}),
        image_token_index=IMAGE,
        video_token_index=VIDEO,
        audio_token_index=AUDIO,
        audio_end_token_id=SOUND_END,
        **MARKS,
    )
    return finish(t.Qwen2_5OmniThinkerForConditionalGeneration._from_config(config, attn_implementation="sdpa"))


def qwen3_omni() -> Any:
    module = t.models.qwen3_omni_moe.configuration_qwen3_omni_moe
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
    config = module.Qwen3OmniMoeThinkerConfig(
        audio_config=module.Qwen3OmniMoeAudioEncoderConfig(
            **TOWER, max_source_positions=64, n_window=50, n_window_infer=100, downsample_hidden_size=8
        ),
        vision_config=module.Qwen3OmniMoeVisionEncoderConfig(
            **EYE, num_position_embeddings=64, deepstack_visual_indexes=[0, 1]
        ),
        text_config=module.Qwen3OmniMoeTextConfig(**{**TEXT, "rope_parameters": ROPE}, head_dim=8, **experts),
        image_token_id=IMAGE,
        video_token_id=VIDEO,
        audio_token_id=AUDIO,
        **MARKS,
    )
    return finish(t.Qwen3OmniMoeThinkerForConditionalGeneration._from_config(config, attn_implementation="sdpa"))


def picture(row: int, *, seed: int = 0) -> tuple[list[Medium], dict[str, torch.Tensor]]:
    height, width = ((4, 8), (8, 4), (4, 4))[row]
    pixels = torch.randn(height * width, 3 * 2 * 14 * 14, generator=torch.Generator().manual_seed(seed + row))
    medium = plain(IMAGE, height * width // 4, before=(VISION_START,), after=(VISION_END,))
    return [medium], {"pixel_values": pixels, "image_grid_thw": torch.tensor([[1, height, width]])}


def clip(row: int, *, frames: int = 2) -> tuple[list[Medium], dict[str, torch.Tensor]]:
    _, given = picture(row, seed=7)
    height, width = given["image_grid_thw"][0, 1:].tolist()
    cells = frames * height * width
    pixels = torch.randn(cells, 3 * 2 * 14 * 14, generator=torch.Generator().manual_seed(row))
    return [plain(VIDEO, cells // 4, before=(VISION_START,), after=(VISION_END,))], {
        "pixel_values_videos": pixels,
        "video_grid_thw": torch.tensor([[frames, height, width]]),
        "video_second_per_grid": torch.tensor([1.0]),
    }


def sound(row: int, *, strides: int = 2) -> tuple[list[Medium], dict[str, torch.Tensor]]:
    """A sound whose tokens are a quarter of its frames, or an eighth."""
    frames = (32, 16, 24)[row]
    heard = torch.zeros(1, FRAMES, dtype=torch.long)
    heard[0, :frames] = 1
    features = torch.randn(1, MELS, FRAMES, generator=torch.Generator().manual_seed(row))
    medium = plain(AUDIO, frames // 2**strides, before=(SOUND_START,), after=(SOUND_END,))
    return [medium], {"input_features": features, "feature_attention_mask": heard}


def everything(row: int, *, strides: int = 2) -> tuple[list[Medium], dict[str, torch.Tensor]]:
    """A picture, a clip and a sound."""
    parts = (picture(row), clip(row), sound(row, strides=strides))
    return [medium for media, _ in parts for medium in media], {n: v for _, given in parts for n, v in given.items()}


OMNI_CASES = (
    Case("qwen2_5_omni", qwen2_5_omni, picture),
    Case("qwen2_5_omni-video", qwen2_5_omni, clip, "video"),
    Case("qwen2_5_omni-audio", qwen2_5_omni, sound, "audio"),
    Case("qwen3_omni", qwen3_omni, picture),
    Case("qwen3_omni-video", qwen3_omni, clip, "video"),
    Case("qwen3_omni-audio", qwen3_omni, lambda row: sound(row, strides=3), "audio"),
)
