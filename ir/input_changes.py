"""What of a family's input can be changed before its encoder: data that graphs and live models agree on.

`size`: pictures and frames of any size; `frames`: fewer frames of a clip; `sound`: shorter sounds.
"""

from __future__ import annotations

_SIZE = ("size",)
_CLIPS = ("size", "frames")
_GRIDS = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "video_llama_3")
_TILES = ("llava", "vipllava", "paligemma", "internvl", "aya_vision", "cohere2_vision", "idefics3", "smolvlm")

INPUT_CHANGES: dict[tuple[str, str], tuple[str, ...]] = {
    **{(kind, "image"): _SIZE for kind in (*_TILES, *_GRIDS, "mistral3")},
    **{(kind, "video"): _CLIPS for kind in (*_GRIDS, "video_llava")},
    **{(kind, "video"): ("frames",) for kind in ("llava_onevision", "llava_next_video")},
    **{(kind, "audio"): ("sound",) for kind in ("whisper", "qwen2_audio", "voxtral")},
}
"""By model type and modality; nothing of the others can be changed."""


def input_changes(model_type: str, modality: str) -> tuple[str, ...]:
    """What of a modality's input passes can change; empty where it is nothing.

    Example:
        >>> input_changes("qwen2_vl", "video"), input_changes("gemma3", "image")
        (('size', 'frames'), ())
    """
    return INPUT_CHANGES.get((model_type, modality), ())
