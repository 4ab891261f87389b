"""The testbed's model: LLaVA's classes at a size that two CPU cores can train and run.

CLIP vision tower with [CLS] (224 px, patch 14: 256 visual tokens), two-layer projector, Qwen3 decoder with tied
embeddings, and a word-level tokenizer over ``vocabulary.WORDS``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .scenes import IMAGE_SIZE, PATCH_SIZE
from .untrained import untrained, word_tokenizer
from .vocabulary import BOS, EOS, IMAGE, PAD, SPECIAL, WORD_ID, WORDS

if TYPE_CHECKING:
    from transformers import CLIPVisionConfig, LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor, Qwen3Config

VISUAL_TOKENS = (IMAGE_SIZE // PATCH_SIZE) ** 2


@dataclass(frozen=True)
class ModelSize:
    """Widths and depths; the default keeps the encoder under a fifth of the CPU time to the first token."""

    vision_width: int = 192
    vision_layers: int = 5
    vision_heads: int = 3
    text_width: int = 384
    text_layers: int = 6
    text_heads: int = 6
    text_mlp: int = 1152


TOY = ModelSize(32, 1, 2, text_width=32, text_layers=2, text_heads=4, text_mlp=64)


def vision_config(size: ModelSize) -> CLIPVisionConfig:
    """Return the configuration of the vision tower."""
    from transformers import CLIPVisionConfig

    return CLIPVisionConfig(
        hidden_size=size.vision_width,
        intermediate_size=4 * size.vision_width,
        num_hidden_layers=size.vision_layers,
        num_attention_heads=size.vision_heads,
        image_size=IMAGE_SIZE,
        patch_size=PATCH_SIZE,
        hidden_act="gelu",
        projection_dim=size.text_width,
    )


def text_config(size: ModelSize) -> Qwen3Config:
    """Return the configuration of the decoder."""
    from transformers import Qwen3Config

    return Qwen3Config(
        vocab_size=len(WORDS),
        hidden_size=size.text_width,
        intermediate_size=size.text_mlp,
        num_hidden_layers=size.text_layers,
        num_attention_heads=size.text_heads,
        num_key_value_heads=size.text_heads,
        head_dim=size.text_width // size.text_heads,
        max_position_embeddings=1024,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        tie_word_embeddings=True,
        initializer_range=0.03,
        pad_token_id=PAD,
        bos_token_id=BOS,
        eos_token_id=EOS,
    )


def llava_config(size: ModelSize) -> LlavaConfig:
    """Return the whole configuration; the projector reads the last layer without [CLS]."""
    from transformers import LlavaConfig

    build: Any = LlavaConfig  # its generated signature hides the fields of its base
    config: LlavaConfig = build(
        vision_config=vision_config(size),
        text_config=text_config(size),
        image_token_id=IMAGE,
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        projector_hidden_act="gelu",
        image_seq_length=VISUAL_TOKENS,
        tie_word_embeddings=True,
        pad_token_id=PAD,
        bos_token_id=BOS,
        eos_token_id=EOS,
    )
    return config


def build_model(size: ModelSize, *, seed: int = 0) -> LlavaForConditionalGeneration:
    """Return an untrained model in fp32."""
    from transformers import LlavaForConditionalGeneration

    model: LlavaForConditionalGeneration = untrained(LlavaForConditionalGeneration, llava_config(size), seed=seed)
    return model


def build_processor() -> LlavaProcessor:
    """Return the processor: 224 px pictures scaled to [-1, 1] and the word-level tokenizer, left padding."""
    from transformers import CLIPImageProcessor, LlavaProcessor

    processor_class: Any = LlavaProcessor
    tokenizer = word_tokenizer(WORD_ID, SPECIAL, additional_special_tokens=["<image>"])
    pictures = CLIPImageProcessor(
        size={"shortest_edge": IMAGE_SIZE},
        crop_size={"height": IMAGE_SIZE, "width": IMAGE_SIZE},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
    processor: LlavaProcessor = processor_class(
        image_processor=pictures,
        tokenizer=tokenizer,
        patch_size=PATCH_SIZE,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token="<image>",
    )
    return processor
