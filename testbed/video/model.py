"""The video model: Qwen2-VL's classes at a size that two CPU cores can train and run.

A vision transformer whose attention stays within a pair of frames (112 px, patch 8, temporal patch 2), a merger of
2 x 2 patches (49 visual tokens a step, 392 for 16 frames), and a decoder with M-RoPE and tied embeddings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..untrained import untrained, word_tokenizer
from .scenes import GRID, MERGE, PATCH_SIZE
from .tracks import FRAME_SIZE, FRAMES_PER_STEP, STEPS
from .vocabulary import BOS, EOS, IMAGE, PAD, SPECIAL, VIDEO, WORD_ID, WORDS

if TYPE_CHECKING:
    from transformers import (
        PreTrainedTokenizerFast,
        Qwen2VLConfig,
        Qwen2VLForConditionalGeneration,
        Qwen2VLTextConfig,
        Qwen2VLVisionConfig,
    )

VISUAL_TOKENS = STEPS * GRID**2
PATCHES_PER_STEP = (FRAME_SIZE // PATCH_SIZE) ** 2


@dataclass(frozen=True)
class VideoModelSize:
    """Widths and depths."""

    vision_width: int = 128
    vision_layers: int = 4
    vision_heads: int = 4
    text_width: int = 320
    text_layers: int = 6
    text_heads: int = 5
    text_mlp: int = 960


TOY = VideoModelSize(32, 1, 2, text_width=32, text_layers=3, text_heads=2, text_mlp=64)


def vision_config(size: VideoModelSize) -> Qwen2VLVisionConfig:
    """Return the configuration of the vision transformer and its merger."""
    from transformers.models.qwen2_vl.configuration_qwen2_vl import Qwen2VLVisionConfig

    build: Any = Qwen2VLVisionConfig
    config: Qwen2VLVisionConfig = build(
        depth=size.vision_layers,
        embed_dim=size.vision_width,
        num_heads=size.vision_heads,
        hidden_size=size.text_width,
        hidden_act="gelu",
        mlp_ratio=4,
        patch_size=PATCH_SIZE,
        spatial_merge_size=MERGE,
        temporal_patch_size=FRAMES_PER_STEP,
    )
    return config


def text_config(size: VideoModelSize) -> Qwen2VLTextConfig:
    """Return the configuration of the decoder; half a head's frequencies divide 2 : 3 : 3 into time, height, width."""
    from transformers.models.qwen2_vl.configuration_qwen2_vl import Qwen2VLTextConfig

    half = size.text_width // size.text_heads // 2
    time = half // 4
    build: Any = Qwen2VLTextConfig
    config: Qwen2VLTextConfig = build(
        vocab_size=len(WORDS),
        hidden_size=size.text_width,
        intermediate_size=size.text_mlp,
        num_hidden_layers=size.text_layers,
        num_attention_heads=size.text_heads,
        num_key_value_heads=size.text_heads,
        max_position_embeddings=1024,
        rope_parameters={
            "rope_type": "default",
            "rope_theta": 1e6,
            "mrope_section": [time, (half - time) // 2, half - time - (half - time) // 2],
        },
        initializer_range=0.03,
        pad_token_id=PAD,
        bos_token_id=BOS,
        eos_token_id=EOS,
    )
    return config


def video_config(size: VideoModelSize) -> Qwen2VLConfig:
    """Return the whole configuration; the vocabulary has no words for the borders of a video."""
    from transformers import Qwen2VLConfig

    build: Any = Qwen2VLConfig
    config: Qwen2VLConfig = build(
        vision_config=vision_config(size).to_dict(),
        text_config=text_config(size).to_dict(),
        image_token_id=IMAGE,
        video_token_id=VIDEO,
        vision_start_token_id=BOS,
        vision_end_token_id=EOS,
        tie_word_embeddings=True,
        pad_token_id=PAD,
        bos_token_id=BOS,
        eos_token_id=EOS,
    )
    return config


def build_model(size: VideoModelSize, *, seed: int = 0) -> Qwen2VLForConditionalGeneration:
    """Return an untrained model in fp32."""
    from transformers import Qwen2VLForConditionalGeneration

    model: Qwen2VLForConditionalGeneration = untrained(Qwen2VLForConditionalGeneration, video_config(size), seed=seed)
    return model


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Return the word-level tokenizer, padding on the left."""
    named = {"video_token": "<video>", "image_token": "<image>"}
    return word_tokenizer(WORD_ID, SPECIAL, model_specific_special_tokens=named)
