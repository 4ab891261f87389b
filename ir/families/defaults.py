"""Default configurations, completed where transformers' own default cannot be built or run."""

from __future__ import annotations

from typing import Any

from ...common.errors import BadInput

COMPLETIONS: dict[str, dict[str, Any]] = {
    "aria": {"vision_config.image_size": 490, "vision_config.patch_size": 14},
    "aya_vision": {"vision_config.num_attention_heads": 16, "vision_config.image_size": 364},
    "chameleon": {"vocabulary_map": "IMGIMG"},
    "cohere_compass": {
        "text_config.rope_parameters": {
            kind: {"rope_type": "default", "rope_theta": 10000.0} for kind in ("full_attention", "sliding_attention")
        }
    },
    "deepseek_ocr2": {
        "text_config.mlp_layer_types": ("dense", "sparse"),
        "text_config.num_experts_per_tok": 6,
        "vision_config.encoder_config.hidden_size": 896,
        "vision_config.encoder_config.intermediate_size": 4864,
        "vision_config.encoder_config.num_hidden_layers": 24,
        "vision_config.encoder_config.num_attention_heads": 14,
        "vision_config.encoder_config.num_key_value_heads": 2,
        "vision_config.encoder_config.layer_types": ["full_attention"] * 24,
    },
    "emu3": {"vocabulary_map": "visual token"},
    "gemma3": {"vision_config.image_size": 896, "vision_config.patch_size": 14},
    "gemma4": {"vision_config": {}, "audio_config": {}},
    "gemma4_unified": {"vision_config": {}, "audio_config": {}},
    "glm46v": {"text_config.rope_parameters.mrope_section": [16, 24, 24]},
    "glm4v": {"text_config.rope_parameters.mrope_section": [16, 24, 24]},
    "glm4v_moe": {"text_config.head_dim": 128},
    "glmga": {"text_config.rope_parameters.mrope_section": [16, 24, 24]},
    "granite4_vision": {
        "downsample_rate": "4/8",
        "vision_config.num_hidden_layers": 27,
        "vision_config.image_size": 384,
        "vision_config.patch_size": 16,
        "deepstack_layer_map": [[-19, 9], [-13, 6], [-7, 3], [-1, 0]],
        "image_grid_pinpoints": [[384, 768], [768, 384], [768, 768], [384, 1152], [1152, 384]],
    },
    "hunyuan_vl": {
        "text_config.head_dim": 128,
        "text_config.rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [16, 24, 24]},
    },
    "idefics3": {"vision_config.image_size": 364, "vision_config.patch_size": 14},
    "janus": {"vision_config.projection_dim": 4096},
    "llama4": {
        "vision_config.hidden_size": 1408,
        "vision_config.num_hidden_layers": 34,
        "vision_config.vision_output_dim": 4096,
    },
    "qwen2_5_omni_thinker": {"vision_start_token_id": 151652, "vision_end_token_id": 151653},
    "ovis2": {"hidden_size": 4096},
    "qwen3_omni_moe_thinker": {
        "vision_start_token_id": 151652,
        "vision_end_token_id": 151653,
        "text_config.num_attention_heads": 32,
        "text_config.head_dim": 128,
    },
    "qwen3_omni_moe": {
        "thinker_config.vision_start_token_id": 151652,
        "thinker_config.vision_end_token_id": 151653,
        "thinker_config.text_config.num_attention_heads": 32,
        "thinker_config.text_config.head_dim": 128,
    },
    "qwen2_vl": {"vision_config.hidden_size": 8192},
    "qwen2_5_omni": {
        "thinker_config.vision_start_token_id": 151652,
        "thinker_config.vision_end_token_id": 151653,
    },
    "qwen4_exp": {
        "text_config.indexer_n_heads": 16,
        "text_config.indexer_kv_heads": 1,
        "text_config.indexer_head_dim": 256,
        "text_config.indexer_budget": 2048,
        "text_config.indexer_compress_ratio": 4,
    },
    "shieldgemma2": {"vision_config.image_size": 896, "vision_config.patch_size": 14},
    "step3p7": {"text_config.sliding_window": 512},
    "smolvlm": {"vision_config.image_size": 364, "vision_config.patch_size": 14},
    "t5gemma2": {"encoder.vision_config.image_size": 896, "encoder.vision_config.patch_size": 14},
}
"""Values by model type and dotted name, as the family's published checkpoints have them.

Those of qwen4_exp, which has no published checkpoint, are the least that its own checks agree with.
"""

_FIRST_PLACEHOLDER = 11


def default_config(model_type: str) -> Any:
    """The default configuration of a model type, completed.

    Raises:
        BadInput: transformers cannot make it.
    """
    from transformers import CONFIG_MAPPING

    try:
        config: Any = CONFIG_MAPPING[model_type]()
        for name, value in COMPLETIONS.get(model_type, {}).items():
            _complete(config, name, value)
    except Exception as error:
        raise BadInput(f"transformers cannot make a default {model_type} configuration: {error}") from error
    for part in (config, getattr(config, "thinker_config", None)):
        if part is not None:
            _match_widths(part)
            _name_placeholders(part)
    return config


def _complete(config: Any, name: str, value: Any) -> None:
    *path, last = name.split(".")
    target = config
    for part in path:
        target = target[part] if isinstance(target, dict) else getattr(target, part)
    if value == {}:
        value = config.sub_configs_defaults[name].config_class()
    elif last == "vocabulary_map":
        value = _vocabulary_map(config, value)
    elif last == "mlp_layer_types":
        value = [value[0], *[value[1]] * (target.num_hidden_layers - 1)]
    if isinstance(target, dict):
        target[last] = value
    else:
        setattr(target, last, value)


def _vocabulary_map(config: Any, style: str) -> dict[str, int]:
    """Names of the ids that stand for code-book entries, in the two styles that Chameleon and Emu3 use."""
    codes = range(config.vq_config.num_embeddings if style == "IMGIMG" else config.vq_config.codebook_size)
    if style == "IMGIMG":
        named = {f"IMGIMG{''.join(chr(ord('A') + int(d)) for d in str(code))}Z": 100 + code for code in codes}
    else:
        named = {f"<|visual token {code:06d}|>": 100 + code for code in codes}
    return {"<image>": _FIRST_PLACEHOLDER, "<|extra_200|>": 12, **named}


def _name_placeholders(config: Any) -> None:
    """Ids of media placeholders that the default leaves open, since checkpoints take them from their tokenizer."""
    for number, modality in enumerate(("image", "video", "audio")):
        for name in (f"{modality}_token_id", f"{modality}_token_index"):
            if getattr(config, name, 0) is None:
                setattr(config, name, _FIRST_PLACEHOLDER + number)


def _match_widths(config: Any) -> None:
    """Towers that project into the decoder's width must know it: several defaults state another one."""
    text = config.get_text_config(decoder=True)
    vision = getattr(config, "vision_config", None)
    width = getattr(text, "hidden_size", None)
    audio = getattr(config, "audio_config", None)
    if audio is not None and width and getattr(audio, "output_dim", None) not in (None, width):
        audio.output_dim = width
    adapter = getattr(config, "adapter_config", None)
    if adapter is not None and hasattr(adapter, "text_hidden_size"):
        adapter.text_hidden_size = width
    projector, encoder = getattr(config, "projector_config", None), getattr(config, "encoder_config", None)
    width_in = getattr(encoder, "hidden_dim", None)
    if projector is not None and width_in and hasattr(projector, "encoder_hidden_size"):
        projector.encoder_hidden_size = width_in
    if vision is not None and width and getattr(vision, "out_hidden_size", None) not in (None, width):
        vision.out_hidden_size = width
