"""Which families take smaller pictures or fewer frames before their encoder, and why the others do not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..inputs.forms import Clips, InputForm, Pictures, SizedPictures
from ..inputs.patches import FlatPatches
from .tiles import side

Form = Callable[[Any], InputForm]


def _flat(modality: str, *, time: int = 1) -> Form:
    pixels = "pixel_values" if modality == "image" else "pixel_values_videos"

    def form(config: Any) -> InputForm:
        vision = config.vision_config
        frames = int(getattr(vision, "temporal_patch_size", time))
        return FlatPatches(pixels, f"{modality}_grid_thw", side(vision.patch_size), frames)

    return form


def _tiles(config: Any) -> InputForm:
    return Pictures()


def _masked_tiles(config: Any) -> InputForm:
    return Pictures(masks=("pixel_attention_mask",))


def _sized(config: Any) -> InputForm:
    return SizedPictures(side(config.vision_config.patch_size) * config.spatial_merge_size)


def _clips(config: Any) -> InputForm:
    return Clips()


def _clips_of_one_size(config: Any) -> InputForm:
    return Clips(resizable=False)


FORMS: dict[tuple[str, str], Form] = {
    **{(kind, "image"): _tiles for kind in ("llava", "vipllava", "paligemma", "internvl")},
    **{(kind, "image"): _tiles for kind in ("aya_vision", "cohere2_vision")},
    **{(kind, "image"): _masked_tiles for kind in ("idefics3", "smolvlm")},
    ("mistral3", "image"): _sized,
    **{
        (kind, modality): _flat(modality)
        for kind in ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "video_llama_3")
        for modality in ("image", "video")
    },
    ("video_llava", "video"): _clips,
    ("llava_onevision", "video"): _clips_of_one_size,
    ("llava_next_video", "video"): _clips_of_one_size,
}
"""By model type and modality; position embeddings of fixed size are interpolated (`interpolate_pos_encoding`)."""

REASONS: dict[tuple[str, str], str] = {
    ("gemma3", "image"): "it averages a grid of one size down to its tokens",
    ("llama4", "image"): "its encoder's rotary embedding is made for one size of tile",
    ("llava_next", "image"): "how its tiles are put together follows from their one size",
    ("llava_next_video", "image"): "how its tiles are put together follows from their one size",
    ("llava_onevision", "image"): "how its tiles are put together follows from their one size",
    ("video_llava", "image"): "only its clips can be changed yet",
    ("mllama", "image"): "its encoder embeds the aspect ratio of tiles of one size",
    ("phi4_multimodal", "image"): "its decoder encodes pictures itself",
    ("phi4_multimodal", "audio"): "its decoder encodes sounds itself",
    ("audioflamingo3", "audio"): "its tower makes its mask from the length of the spectrum that it is given",
    ("granite_speech", "audio"): "its encoder attends within blocks of fixed size",
}


def form_of(config: Any, modality: str) -> InputForm | None:
    """The form of a modality's pixels in a model of this configuration, None where nothing of them can be changed."""
    form = FORMS.get((config.model_type, modality))
    return None if form is None else form(config)


def why_not(config: Any, modality: str) -> str:
    """Why nothing before the encoder can be changed, as the end of a sentence."""
    return REASONS.get((config.model_type, modality), f"no rule says how its {modality} input can be made smaller")


@dataclass(frozen=True)
class SoundForm:
    """How a Whisper-like tower turns sound into tokens.

    Attributes:
        frames: frames of the spectrum behind one token of the decoder; half as many positions of the tower.
        outputs: outputs of the tower behind one token. scatters: whether a projector and a scatter follow the tower.
    """

    frames: int
    outputs: int
    scatters: bool = True


SOUNDS = {
    "whisper": SoundForm(frames=2, outputs=1, scatters=False),
    "qwen2_audio": SoundForm(frames=4, outputs=1),
    "voxtral": SoundForm(frames=8, outputs=4),
}
"""By model type: Whisper's tokens are the tower's outputs, Qwen2-Audio's tower pools two, Voxtral's projector four."""
