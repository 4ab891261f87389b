"""LLaVA: a CLIP or SigLIP tower, a pointwise MLP and a causal decoder; one fixed grid for each image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..layout import Layout
from .base import Family, family

if TYPE_CHECKING:
    from torch import nn

_TOWERS = {"clip_vision_model": 1, "siglip_vision_model": 0}
"""Supported towers and how many prefix tokens ([CLS]) each puts before the patches."""


@family
class Llava(Family):
    """`LlavaForConditionalGeneration` over a tower of fixed image size."""

    model_types = ("llava",)
    modalities = ("image",)

    def refusal(self, config: Any) -> str | None:
        """Towers of variable size and several feature layers are not in this row."""
        tower = config.vision_config.model_type
        if tower not in _TOWERS:
            return f"its vision tower is {tower!r}, and this row knows {', '.join(_TOWERS)}"
        if not isinstance(config.vision_feature_layer, int):
            return "it concatenates several encoder layers; give one vision_feature_layer"
        layer, depth = config.vision_feature_layer, config.vision_config.num_hidden_layers
        if layer == 0 or not -depth <= layer <= depth:
            return f"its vision_feature_layer {layer} is the output of none of the tower's {depth} layers"
        if config.vision_feature_select_strategy == "default" and not _TOWERS[tower]:
            return f"strategy 'default' drops the first patch of {tower!r}, which has no [CLS]; set it to 'full'"
        return None

    def encoder(self, model: nn.Module, modality: str) -> nn.Module:
        """The vision tower."""
        return _inner(model).vision_tower  # type: ignore[return-value]

    def projector(self, model: nn.Module, modality: str) -> nn.Module:
        """The two-layer MLP."""
        return _inner(model).multi_modal_projector  # type: ignore[return-value]

    def selected_layer(self, config: Any, modality: str) -> int:
        """`vision_feature_layer` indexes hidden_states, whose entry 0 is the embedding."""
        index: int = config.vision_feature_layer
        return index - 1 if index >= 0 else config.vision_config.num_hidden_layers + index

    def layout(self, config: Any, modality: str, size: tuple[int, int]) -> Layout:
        """The tower's own grid: the processor resizes every picture to it."""
        vision = config.vision_config
        side = vision.image_size // vision.patch_size
        prefix = 0 if config.vision_feature_select_strategy == "default" else _TOWERS[vision.model_type]
        return Layout.image(side, side, prefix=prefix)

    def placeholder(self, config: Any, modality: str) -> int:
        """`image_token_id`."""
        return int(config.image_token_id)

    def media(self, config: Any, arguments: Mapping[str, Any]) -> dict[str, list[Layout]]:
        """One grid for each picture in `pixel_values` or in precomputed encoder outputs."""
        precomputed = (arguments.get("mm_encoder_outputs") or {}).get("image")
        if precomputed is not None:
            pictures = len(precomputed.pooler_output)
        elif arguments.get("pixel_values") is not None:
            pictures = arguments["pixel_values"].shape[0]
        else:
            return {}
        return {"image": [self.layout(config, "image", (0, 0))] * pictures}

    def encode(self, model: nn.Module, modality: str, arguments: Mapping[str, Any]) -> Any:
        """`get_image_features` on the call's pictures."""
        return model.get_image_features(pixel_values=arguments["pixel_values"])  # type: ignore[operator]


def _inner(model: nn.Module) -> nn.Module:
    """The model without its language head."""
    return getattr(model, "model", model)
