"""Families whose pictures and clips come as (time, height, width) grids, in the matrix beside Qwen's own."""

from __future__ import annotations

from typing import Any

import torch
import transformers as t
from live_families import IMAGE, TEXT, VIDEO, Case, Medium, finish, plain

TYPES = "mm_token_type_ids"
BREAK = 6
ROPE: dict[str, Any] = {
    "rope_type": "default",
    "rope_theta": 10000.0,
    "mrope_section": [1, 1, 2],
    "partial_rotary_factor": 1.0,
}
PATCHES: dict[str, Any] = {
    "depth": 2,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_heads": 2,
    "patch_size": 14,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "out_hidden_size": 32,
}
EXPERTS: dict[str, Any] = {
    "moe_intermediate_size": 32,
    "num_experts_per_tok": 2,
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
}


def glm(module: Any, prefix: str, **more: Any) -> Any:
    text = getattr(module, prefix + "TextConfig")(**{**TEXT, "rope_parameters": ROPE}, head_dim=8, **more)
    vision = getattr(module, prefix + "VisionConfig")(**PATCHES, image_size=112)
    config = getattr(module, prefix + "Config")(
        text_config=text, vision_config=vision, image_token_id=IMAGE, video_token_id=VIDEO
    )
    return finish(getattr(t, prefix + "ForConditionalGeneration")._from_config(config, attn_implementation="sdpa"))


def glm46v() -> Any:
    inner = t.models.glm4v.configuration_glm4v
    config = t.Glm46VConfig(
        text_config=inner.Glm4vTextConfig(**{**TEXT, "rope_parameters": ROPE}, head_dim=8),
        vision_config=inner.Glm4vVisionConfig(**PATCHES, image_size=112),
        image_token_id=IMAGE,
        video_token_id=VIDEO,
    )
    return finish(t.Glm46VForConditionalGeneration._from_config(config, attn_implementation="sdpa"))


def exaone4_5() -> Any:
    module = t.models.exaone4_5.configuration_exaone4_5
    vision = module.Exaone4_5_VisionConfig(**PATCHES, num_key_value_heads=2, window_size=56, fullatt_block_indexes=[1])
    kinds = ["sliding_attention", "sliding_attention", "sliding_attention", "full_attention"]
    text = t.Exaone4Config(**TEXT, sliding_window=12, sliding_window_pattern=4, layer_types=kinds)
    config = module.Exaone4_5_Config(text_config=text, vision_config=vision, image_token_id=IMAGE, video_token_id=VIDEO)
    return finish(t.Exaone4_5_ForConditionalGeneration._from_config(config, attn_implementation="sdpa"))


def paddleocr_vl() -> Any:
    module = t.models.paddleocr_vl.configuration_paddleocr_vl
    vision = module.PaddleOCRVisionConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=112,
        patch_size=14,
        spatial_merge_size=2,
    )
    text = module.PaddleOCRTextConfig(**{**TEXT, "rope_parameters": ROPE}, head_dim=8)
    config = module.PaddleOCRVLConfig(
        text_config=text, vision_config=vision, image_token_id=IMAGE, video_token_id=VIDEO
    )
    return finish(t.PaddleOCRVLForConditionalGeneration._from_config(config, attn_implementation="sdpa"))


def kimi_k25() -> Any:
    text = t.DeepseekV3Config(
        **{**TEXT, "num_key_value_heads": 4},
        **EXPERTS,
        n_group=1,
        topk_group=1,
        kv_lora_rank=8,
        q_lora_rank=None,
        qk_rope_head_dim=4,
        qk_nope_head_dim=4,
        v_head_dim=8,
    )
    vision = t.models.kimi_k25.configuration_kimi_k25.Kimi_K25VisionConfig(
        patch_size=14,
        pos_emb_height=8,
        pos_emb_width=8,
        num_attention_heads=2,
        num_hidden_layers=2,
        hidden_size=32,
        intermediate_size=48,
    )
    config = t.models.kimi_k25.configuration_kimi_k25.Kimi_K25Config(
        text_config=text,
        vision_config=vision,
        projection_hidden_size=32,
        image_token_id=IMAGE,
        video_token_id=VIDEO,
    )
    return finish(t.Kimi_K25ForConditionalGeneration._from_config(config, attn_implementation="sdpa"))


def grid(row: int) -> tuple[int, int]:
    return ((4, 8), (8, 4), (4, 4))[row]


def pixels(row: int, *, frames: int = 1, width: int = 3 * 2 * 14 * 14) -> torch.Tensor:
    height, wide = grid(row)
    return torch.randn(frames * height * wide, width, generator=torch.Generator().manual_seed(row))


def picture(row: int) -> tuple[list[Medium], dict[str, torch.Tensor]]:
    height, width = grid(row)
    given = {"pixel_values": pixels(row), "image_grid_thw": torch.tensor([[1, height, width]])}
    return [plain(IMAGE, height * width // 4)], given


def unfolded_picture(row: int) -> tuple[list[Medium], dict[str, torch.Tensor]]:
    """PaddleOCR-VL's and Kimi's patches keep their three axes."""
    media, given = picture(row)
    return media, given | {"pixel_values": pixels(row, width=3 * 14 * 14).view(-1, 3, 14, 14)}


def clip(row: int) -> tuple[list[Medium], dict[str, torch.Tensor]]:
    height, width = grid(row)
    given = {"pixel_values_videos": pixels(row, frames=3), "video_grid_thw": torch.tensor([[3, height, width]])}
    return [plain(VIDEO, 3 * height * width // 4)], given


def stamped_clip(row: int) -> tuple[list[Medium], dict[str, torch.Tensor]]:
    """GLM's frames stand apart, each after its timestamp, in the pictures' placeholders."""
    _, given = clip(row)
    height, width = grid(row)
    cells = height * width // 4
    ids = (BREAK, *[IMAGE] * cells) * 3
    return [Medium(IMAGE, ids, tuple(place for place, token in enumerate(ids) if token == IMAGE))], given


def glm4v() -> Any:
    return glm(t.models.glm4v.configuration_glm4v, "Glm4v")


GRID_CASES = (
    Case("glm4v", glm4v, picture, types=TYPES),
    Case("glm4v-video", glm4v, stamped_clip, "video", TYPES),
    Case(
        "glm4v_moe",
        lambda: glm(t.models.glm4v_moe.configuration_glm4v_moe, "Glm4vMoe", **EXPERTS),
        picture,
        types=TYPES,
    ),
    Case("glm46v", glm46v, picture, types=TYPES),
    Case("glm_ocr", lambda: glm(t.models.glm_ocr.configuration_glm_ocr, "GlmOcr"), picture, types=TYPES),
    Case("exaone4_5", exaone4_5, picture),
    Case("exaone4_5-video", exaone4_5, clip, "video"),
    Case("kimi_k25", kimi_k25, unfolded_picture),
    Case("paddleocr_vl", paddleocr_vl, unfolded_picture, types=TYPES),
)
