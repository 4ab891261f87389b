"""Families that take pictures at their own size."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ...common.errors import BadInput
from ..layout import Layout
from ..workload import Workload
from .inputs import channels, first, numbers, pictures, shape, side_of, vision_config
from .row import Media, Row
from .table import row

if TYPE_CHECKING:
    from torch import nn

_CLASS_TOKENS = {"clip_vision_model": 1, "dinov2": 1, "siglip_vision_model": 0}
"""Towers of fixed size, and how many class tokens each puts before its patches."""


def longest_edge(size: tuple[int, int], *, longest: int, factor: int) -> tuple[int, int]:
    """The size scaled down to `longest` where it is larger, each side up to a whole multiple of `factor`."""
    height, width = size
    ratio = max(height / longest, width / longest)
    if ratio > 1:
        height, width = int(height / ratio), int(width / ratio)
    return -(-height // factor) * factor, -(-width // factor) * factor


@row
class Pixtral(Row):
    """Pixtral towers: patches of each picture at its own size, merged in squares before the decoder."""

    model_types: ClassVar[tuple[str, ...]] = ("mistral3", "mistral_large4", "lighton_ocr")

    def media(self, model: nn.Module, modality: str, workload: Workload) -> Media:
        """pixel_values (pictures, channels, height, width), padded to the largest, with each picture's size."""
        vision = vision_config(self.config)
        patch, merge = int(vision.patch_size), self.merge()
        longest = int((self.processor.get("size") or {}).get("longest_edge") or side_of(vision)[0])
        sizes = [longest_edge(size, longest=longest, factor=patch * merge) for size in pictures(workload)]
        tall, wide = max(h for h, _ in sizes), max(w for _, w in sizes)
        arguments = {
            "pixel_values": shape(len(sizes), channels(vision), tall, wide),
            "image_sizes": numbers([list(size) for size in sizes]),
        }
        side = patch * merge
        return Media(arguments, tuple(Layout.image(h // side, w // side) for h, w in sizes))

    def merge(self) -> int:
        """Patches along one side that the projector joins."""
        return int(first(self.config, "spatial_merge_size", default=2))


@row
class Llava(Pixtral):
    """LLaVA: a CLIP or SigLIP tower of fixed size, or a Pixtral tower of native size."""

    model_types: ClassVar[tuple[str, ...]] = ("llava",)

    def media(self, model: nn.Module, modality: str, workload: Workload) -> Media:
        """Pictures of the tower's size; a class token that the strategy keeps is a prefix."""
        self._check_layers()
        if vision_config(self.config).model_type == "pixtral":
            return super().media(model, modality, workload)
        sizes = pictures(workload)
        height, width = side_of(vision_config(self.config))
        arguments = {"pixel_values": shape(len(sizes), channels(vision_config(self.config)), height, width)}
        layout = self._layout()
        return Media(arguments, None if layout is None else (layout,) * len(sizes))

    def _layout(self) -> Layout | None:
        """The grid of one picture, where tower and strategy are known to keep it."""
        vision, strategy = vision_config(self.config), self.config.vision_feature_select_strategy
        classes = _CLASS_TOKENS.get(vision.model_type)
        alone = isinstance(self.config.vision_feature_layer, int)
        if classes is None or not alone or (strategy == "default" and not classes):
            return None
        side = vision.image_size // vision.patch_size
        return Layout.image(side, side, prefix=0 if strategy == "default" else classes)

    def _check_layers(self) -> None:
        """Refuse feature layers that the tower does not have."""
        chosen, depth = self.config.vision_feature_layer, self.config.vision_config.num_hidden_layers
        for layer in chosen if isinstance(chosen, (list, tuple)) else [chosen]:
            if layer == 0 or not -depth <= layer <= depth:
                raise BadInput(
                    f"this llava model cannot be traced: its vision_feature_layer {layer} is the output of none of "
                    f"the tower's {depth} layers"
                )

    def merge(self) -> int:
        """Nothing is merged."""
        return 1


@row
class Fuyu(Row):
    """Fuyu: patches go straight into the decoder through one linear map."""

    model_types: ClassVar[tuple[str, ...]] = ("fuyu",)

    def media(self, model: nn.Module, modality: str, workload: Workload) -> Media:
        """pixel_values (1, patches, channels x patch x patch); a picture is padded to whole patches."""
        patch = int(self.config.patch_size)
        sizes = [_fitted(size, self.processor.get("size") or {}) for size in pictures(workload)]
        grids = [(-(-h // patch), -(-w // patch)) for h, w in sizes]
        rows = sum(h * w for h, w in grids)
        arguments = {"pixel_values": shape(1, rows, int(self.config.num_channels) * patch * patch)}
        return Media(arguments, tuple(Layout.image(h, w) for h, w in grids))


def _fitted(size: tuple[int, int], window: dict[str, int]) -> tuple[int, int]:
    """The size scaled down to fit the window that the processor pads pictures to, by default 1080 x 1920."""
    height, width = size
    scale = min(window.get("height", 1080) / height, window.get("width", 1920) / width, 1)
    return int(height * scale), int(width * scale)
