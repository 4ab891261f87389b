"""Models whose decoders read media by cross-attention: Whisper and Llama 3.2 Vision, tiny and random."""

from __future__ import annotations

from typing import Any

import torch
import transformers as t
from live_families import FIRST_WORD, IMAGE, START, TEXT, WORDS, finish
from transformers import WhisperConfig, WhisperForConditionalGeneration

POSITIONS, MELS = 24, 8
TILES, GRID = 2, 16


def whisper() -> Any:
    config = WhisperConfig(
        vocab_size=WORDS,
        d_model=32,
        num_mel_bins=MELS,
        max_source_positions=POSITIONS,
        max_target_positions=32,
        encoder_layers=3,
        decoder_layers=3,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=48,
        decoder_ffn_dim=48,
        decoder_start_token_id=START,
        pad_token_id=0,
        bos_token_id=START,
        eos_token_id=2,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    return finish(WhisperForConditionalGeneration._from_config(config, attn_implementation="sdpa"))


def sounds(count: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    prompt = torch.tensor([[START, 9, 8]]).expand(count, -1)
    return {
        "input_features": torch.randn(count, MELS, 2 * POSITIONS, generator=generator),
        "decoder_input_ids": prompt,
    }


def mllama() -> Any:
    module = t.models.mllama.configuration_mllama
    vision = module.MllamaVisionConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_global_layers=1,
        attention_heads=4,
        intermediate_size=48,
        vision_output_dim=64,
        image_size=56,
        patch_size=14,
        max_num_tiles=TILES,
        intermediate_layers_indices=[1],
        supported_aspect_ratios=[[1, 1], [1, 2], [2, 1]],
    )
    text = module.MllamaTextConfig(**TEXT, cross_attention_layers=[1, 3])
    config = t.MllamaConfig(vision_config=vision, text_config=text, image_token_index=IMAGE)
    model = t.MllamaForConditionalGeneration._from_config(config, attn_implementation="sdpa")
    for name, parameter in model.named_parameters():
        if name.endswith(("attn_gate", "mlp_gate")):
            parameter.data.fill_(0.5)
    return finish(model)


def mllama_inputs(rows: int) -> dict[str, torch.Tensor]:
    """Prompts of one picture of two tiles; the first row's picture fills one tile only."""
    generator = torch.Generator().manual_seed(0)
    words = torch.randint(FIRST_WORD, WORDS, (rows, 6), generator=generator)
    ids = torch.cat([torch.tensor([[START, IMAGE]]).expand(rows, -1), words], dim=1)
    mask = torch.ones(rows, ids.shape[1], 1, TILES)
    mask[:, 0] = 0
    mask[0, :, :, 1] = 0
    tiles = torch.ones(rows, 1, TILES, dtype=torch.long)
    tiles[0, 0, 1] = 0
    ratios = torch.full((rows, 1), 2)
    ratios[0] = 1
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "pixel_values": torch.randn(rows, 1, TILES, 3, 56, 56, generator=generator),
        "aspect_ratio_ids": ratios,
        "aspect_ratio_mask": tiles,
        "cross_attention_mask": mask,
    }
