"""Which model types have sites inside their encoders, and why others have none.

A site inside an encoder needs later layers that can run on the tokens that remain, each with its own position, and
what follows the encoder to work on whole units: all tokens that become one token of the decoder.
"""

from __future__ import annotations

from ..common.errors import BadInput
from .site import Site

EVERYWHERE = ("encoder.layer", "encoder.layer.mid", "encoder.output")
OUTPUT_ONLY = ("encoder.output",)

ENCODER_SITES: dict[tuple[str, str], tuple[str, ...]] = {
    ("llava", "image"): EVERYWHERE,
    ("vipllava", "image"): EVERYWHERE,
    ("paligemma", "image"): EVERYWHERE,
    ("gemma3", "image"): EVERYWHERE,
    ("internvl", "image"): EVERYWHERE,
    ("aya_vision", "image"): EVERYWHERE,
    ("cohere2_vision", "image"): EVERYWHERE,
    ("idefics3", "image"): EVERYWHERE,
    ("smolvlm", "image"): EVERYWHERE,
    ("mistral3", "image"): EVERYWHERE,
    ("lighton_ocr", "image"): EVERYWHERE,
    ("qianfan_ocr", "image"): EVERYWHERE,
    ("exaone4_5", "image"): EVERYWHERE,
    ("exaone4_5", "video"): EVERYWHERE,
    ("video_llava", "image"): EVERYWHERE,
    ("voxtral", "audio"): EVERYWHERE,
    ("qwen2_vl", "image"): EVERYWHERE,
    ("qwen2_vl", "video"): EVERYWHERE,
    ("qwen2_5_vl", "image"): EVERYWHERE,
    ("qwen2_5_vl", "video"): EVERYWHERE,
    ("qwen3_vl", "image"): EVERYWHERE,
    ("qwen3_vl", "video"): EVERYWHERE,
    ("qwen3_vl_moe", "image"): EVERYWHERE,
    ("qwen3_vl_moe", "video"): EVERYWHERE,
    ("video_llama_3", "image"): EVERYWHERE,
    ("video_llama_3", "video"): EVERYWHERE,
    ("llama4", "image"): OUTPUT_ONLY,  # all tiles share one rotary table, so rows cannot keep different patches
    ("whisper", "audio"): EVERYWHERE,
}
"""By transformers' model type and modality, the kinds of sites."""

TILED = frozenset(
    ("aya_vision", "cohere2_vision", "gemma3", "idefics3", "internvl", "llama4", "qianfan_ocr", "smolvlm", "voxtral")
)
"""Model types that encode a medium in pieces, each of which is a medium of its own to a pass: tiles, frames, chunks."""

PROJECTED_WHOLE = frozenset(("llama4",))
"""Model types whose projector maps units one by one, but in a later call than the encoder's, so on all of them."""

NO_ENCODER_SITES: dict[str, str] = {
    "llava_next": "unpadding cuts each tile's tokens by the picture's size, so how many a tile keeps is not known",
    "llava_next_video": "frames are pooled, and pictures are unpadded, after the projector",
    "llava_onevision": "the detail view is interpolated and frames are pooled after the projector",
    "mllama": "its tiles are padded to eights and read by cross-attention",
    "qwen2_audio": "sounds of different lengths share one padded window, which is pooled in the encoder",
    "audioflamingo3": "sounds of different lengths share one padded window, which is pooled in the encoder",
    "granite_speech": "the encoder mixes neighbours by convolution",
    "phi4_multimodal": "the decoder encodes media itself, in tiles that are pooled and unpadded",
}
"""Model types without any, and the reason."""


def encoder_sites(model_type: str, modality: str, last: int | None) -> list[Site]:
    """The sites inside the encoder of a modality, in order of flow; `last` is the layer whose output leaves it.

    Example:
        >>> [str(site) for site in encoder_sites("llava", "image", 0)]
        ['image.encoder.layers.0', 'image.encoder.layers.0.mid', 'image.encoder.output']
    """
    kinds = ENCODER_SITES.get((model_type, modality), ())
    found = [Site("encoder.output", modality)] if "encoder.output" in kinds else []
    for layer in range(0 if last is None else last + 1):
        found += [Site(kind, modality, layer) for kind in kinds if kind != "encoder.output"]
    return sorted(found, key=lambda site: site.depth)


def require_encoder_sites(model_type: str, site: Site) -> None:
    """Refuse a site inside an encoder that has none, with the reason where one is known.

    Raises:
        BadInput: `site` is inside the encoder of such a model.
    """
    reason = NO_ENCODER_SITES.get(model_type)
    if site.kind.startswith("encoder") and reason is not None:
        raise BadInput(f"{site}: {model_type} has no sites inside its encoder, since {reason}; use projector.output")
