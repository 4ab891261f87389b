"""Families whose pictures all give the same number of tokens, in the matrix beside LLaVA and InternVL."""

from __future__ import annotations

from typing import Any

import torch
import transformers as t
from live_families import IMAGE, TEXT, VISION, Case, Medium, finish, pictures, plain


def build(cls: Any, config: Any, *, attention: Any = "sdpa") -> Any:
    return finish(cls._from_config(config, attn_implementation=attention))


def squares(row: int, *, count: int, size: int = 56) -> tuple[list[Medium], dict[str, torch.Tensor]]:
    """One picture in even rows, two in odd ones."""
    number = 1 + row % 2
    return [plain(IMAGE, count)] * number, {"pixel_values": pictures(number, size, seed=row)}


def deepseek_vl() -> Any:
    config = t.DeepseekVLConfig(
        vision_config=t.SiglipVisionConfig(**VISION), text_config=t.LlamaConfig(**TEXT), image_token_id=IMAGE
    )
    return build(t.DeepseekVLForConditionalGeneration, config)


def janus() -> Any:
    vision = {**VISION, "projection_dim": 32, "num_image_tokens": 16, "mlp_ratio": 2.0}
    config = t.JanusConfig(
        vision_config=t.JanusVisionConfig(**vision),
        text_config=t.LlamaConfig(**TEXT),
        vq_config=t.JanusVQVAEConfig(
            embed_dim=8, num_embeddings=16, base_channels=32, channel_multiplier=[1, 1], projection_dim=32
        ),
        image_token_id=IMAGE,
    )
    return build(t.JanusForConditionalGeneration, config)


def got_ocr2() -> Any:
    vision = t.models.got_ocr2.configuration_got_ocr2.GotOcr2VisionConfig(
        hidden_size=32,
        output_channels=16,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=112,
        patch_size=14,
        window_size=4,
        global_attn_indexes=[1],
        mlp_dim=48,
    )
    config = t.GotOcr2Config(vision_config=vision, text_config=t.Qwen2Config(**TEXT), image_token_index=IMAGE)
    attention = {"vision_config": "eager", "text_config": "sdpa"}  # its tower knows no other
    return build(t.GotOcr2ForConditionalGeneration, config, attention=attention)


def ovis2() -> Any:
    vision = t.models.ovis2.configuration_ovis2.Ovis2VisionConfig(
        **VISION, hidden_stride=2, vocab_size=24, num_visual_indicator_tokens=2
    )
    config = t.Ovis2Config(
        vision_config=vision,
        text_config=t.Qwen2Config(**TEXT),
        image_token_id=IMAGE,
        visual_indicator_token_ids=[6, 7],
        vocab_size=TEXT["vocab_size"],
        hidden_size=32,
    )
    return build(t.Ovis2ForConditionalGeneration, config)


def framed_squares(row: int) -> tuple[list[Medium], dict[str, torch.Tensor]]:
    """Ovis's indicator tokens stand before and after each picture."""
    _, given = squares(row, count=4)
    return [plain(IMAGE, 4, before=(6,), after=(7,))] * (1 + row % 2), given


def aria() -> Any:
    text = t.models.aria.configuration_aria.AriaTextConfig(
        **TEXT, moe_num_experts=4, moe_topk=2, moe_num_shared_experts=1
    )
    config = t.AriaConfig(
        vision_config=t.Idefics3VisionConfig(**VISION),
        text_config=text,
        projector_patch_to_query_dict={16: 8},
        image_token_index=IMAGE,
    )
    return build(t.AriaForConditionalGeneration, config)


def qianfan_ocr() -> Any:
    module = t.models.qianfan_ocr.configuration_qianfan_ocr
    vision = module.QianfanOCRVisionConfig(**{**VISION, "image_size": [56, 56], "patch_size": [14, 14]})
    config = module.QianfanOCRConfig(
        vision_config=vision, text_config=t.Qwen3Config(**TEXT, head_dim=8), image_token_id=IMAGE
    )
    return build(t.QianfanOCRForConditionalGeneration, config)


TILE_CASES = (
    Case("deepseek_vl", deepseek_vl, lambda row: squares(row, count=16)),
    Case("janus", janus, lambda row: squares(row, count=16)),
    Case("got_ocr2", got_ocr2, lambda row: squares(row, count=4, size=112)),
    Case("ovis2", ovis2, framed_squares),
    Case("aria", aria, lambda row: squares(row, count=8)),
    Case("qianfan_ocr", qianfan_ocr, lambda row: squares(row, count=4)),
)
