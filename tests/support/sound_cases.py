"""The families that hear, in the matrix: tiny random models, with sounds of different lengths from row to row."""

from __future__ import annotations

from typing import Any

import torch
import transformers as t
from live_families import AUDIO, TEXT, Case, Medium, finish, plain

MELS, POSITIONS = 8, 16
TOWER: dict[str, Any] = {"num_mel_bins": MELS, "max_source_positions": POSITIONS}


def build(cls: Any, config: Any) -> Any:
    return finish(cls._from_config(config, attn_implementation="sdpa"))


def features(count: int, *, seed: int, frames: int = 2 * POSITIONS) -> torch.Tensor:
    return torch.randn(count, MELS, frames, generator=torch.Generator().manual_seed(seed))


def qwen2_audio(*, positions: int = POSITIONS) -> Any:
    tower = t.Qwen2AudioEncoderConfig(
        num_mel_bins=MELS,
        max_source_positions=positions,
        d_model=32,
        encoder_layers=2,
        encoder_attention_heads=4,
        encoder_ffn_dim=48,
    )
    config = t.Qwen2AudioConfig(audio_config=tower, text_config=t.Qwen2Config(**TEXT), audio_token_index=AUDIO)
    return build(t.Qwen2AudioForConditionalGeneration, config)


def masked_sounds(row: int, *, mask: str = "feature_attention_mask") -> tuple[list[Medium], dict[str, torch.Tensor]]:
    """Two convolutions with stride 2: a quarter as many tokens as frames of the sound itself."""
    frames = (32, 20, 12)[row]
    heard = torch.zeros(1, 2 * POSITIONS, dtype=torch.long)
    heard[0, :frames] = 1
    return [plain(AUDIO, frames // 4)], {"input_features": features(1, seed=row), mask: heard}


def voxtral() -> Any:
    tower = t.VoxtralEncoderConfig(
        hidden_size=16, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, **TOWER
    )
    config = t.VoxtralConfig(audio_config=tower, text_config=t.LlamaConfig(**TEXT), audio_token_id=AUDIO)
    return build(t.VoxtralForConditionalGeneration, config)


def chunks(row: int) -> tuple[list[Medium], dict[str, torch.Tensor]]:
    """A sound of one, two or three chunks of 16 positions, four of which make a token."""
    count = 1 + row
    return [plain(AUDIO, 4 * count)], {"input_features": features(count, seed=row)}


def audio_flamingo3() -> Any:
    module = t.models.audioflamingo3.configuration_audioflamingo3
    tower = module.AudioFlamingo3EncoderConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, **TOWER
    )
    config = t.AudioFlamingo3Config(audio_config=tower, text_config=t.Qwen2Config(**TEXT), audio_token_id=AUDIO)
    return build(t.AudioFlamingo3ForConditionalGeneration, config)


def glm_asr() -> Any:
    tower = t.GlmAsrEncoderConfig(
        hidden_size=32,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_mel_bins=MELS,
        max_position_embeddings=POSITIONS,
    )
    config = t.GlmAsrConfig(audio_config=tower, text_config=t.LlamaConfig(**TEXT), audio_token_id=AUDIO)
    return build(t.GlmAsrForConditionalGeneration, config)


def eighths(row: int) -> tuple[list[Medium], dict[str, torch.Tensor]]:
    """One stride of two, then four states to a token."""
    _, given = masked_sounds(row, mask="input_features_mask")
    frames = int(given["input_features_mask"].sum())
    return [plain(AUDIO, frames // 8)], given


def qwen3_asr() -> Any:
    tower = t.Qwen3ASREncoderConfig(
        num_mel_bins=MELS,
        encoder_layers=2,
        encoder_attention_heads=4,
        encoder_ffn_dim=48,
        d_model=32,
        output_dim=32,
        n_window=50,
        n_window_infer=100,
        downsample_hidden_size=8,
    )
    config = t.Qwen3ASRConfig(
        audio_config=tower, text_config=t.Qwen3Config(**TEXT, head_dim=8), audio_token_id=AUDIO, pad_token_id=0
    )
    return build(t.Qwen3ASRForConditionalGeneration, config)


def windows(row: int) -> tuple[list[Medium], dict[str, torch.Tensor]]:
    """Three strides of two inside a window of 100 frames."""
    frames = (80, 48, 32)[row]
    heard = torch.zeros(1, 100, dtype=torch.long)
    heard[0, :frames] = 1
    given = {"input_features": features(1, seed=row, frames=100), "input_features_mask": heard}
    return [plain(AUDIO, frames // 8)], given


def granite_speech() -> Any:
    encoder = t.GraniteSpeechEncoderConfig(
        input_dim=MELS, num_layers=2, hidden_dim=32, num_heads=4, output_dim=10, context_size=8, max_pos_emb=16
    )
    projector = t.Blip2QFormerConfig(
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=48,
        encoder_hidden_size=32,
        cross_attention_frequency=1,
    )
    config = t.GraniteSpeechConfig(
        encoder_config=encoder,
        projector_config=projector,
        text_config=t.GraniteConfig(**TEXT),
        audio_token_index=AUDIO,
        has_lora_adapter=False,
        downsample_rate=2,
        window_size=4,
    )
    return build(t.GraniteSpeechForConditionalGeneration, config)


def windowed_sounds(row: int) -> tuple[list[Medium], dict[str, torch.Tensor]]:
    """Windows of 4 frames give 2 tokens each; shorter sounds are masked after the projector."""
    tokens = (12, 8, 6)[row]
    mask = torch.zeros(1, 12, dtype=torch.bool)
    mask[0, :tokens] = True
    given = features(1, seed=row, frames=24).mT
    return [plain(AUDIO, tokens)], {"input_features": given, "input_features_mask": mask}


SOUND_CASES = (
    Case("qwen2_audio", qwen2_audio, masked_sounds, "audio"),
    Case("voxtral", voxtral, chunks, "audio"),
    Case("audioflamingo3", audio_flamingo3, lambda row: masked_sounds(row, mask="input_features_mask"), "audio"),
    Case("glmasr", glm_asr, eighths, "audio"),
    Case("qwen3_asr", qwen3_asr, windows, "audio"),
    Case("granite_speech", granite_speech, windowed_sounds, "audio"),
)
