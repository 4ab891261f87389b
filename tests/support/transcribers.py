"""A tiny random Whisper with the published window of 30 s."""

from __future__ import annotations

from typing import Any

import torch
from transformers import WhisperConfig, WhisperForConditionalGeneration

MELS, FRAMES, WORDS = 8, 3000, 48
PAD, START, END, SUPPRESSED = 0, 1, 2, 7


def transcriber() -> Any:
    """Two encoder and two decoder layers of width 32; it never says SUPPRESSED."""
    torch.manual_seed(0)
    config = WhisperConfig(
        vocab_size=WORDS,
        d_model=32,
        num_mel_bins=MELS,
        max_target_positions=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        decoder_start_token_id=START,
        bos_token_id=START,
        eos_token_id=END,
        pad_token_id=PAD,
        suppress_tokens=None,
        begin_suppress_tokens=None,
        tie_word_embeddings=False,
    )
    model = WhisperForConditionalGeneration._from_config(config, attn_implementation="sdpa").eval()
    with torch.no_grad():  # larger weights, or all answers would be alike and no plan could harm them
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1 and "embed_positions" not in name:
                parameter.mul_(10)
    model.generation_config.update(eos_token_id=END, pad_token_id=PAD, suppress_tokens=[SUPPRESSED])
    return model
