"""Qwen2-VL, Qwen2.5-VL and their kin: pictures and clips of any size on a (time, height, width) grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, cast

from ...ir.layout import Layout
from ..encoder.packing import Packing
from .base import Adapter, Medium, adapter
from .encoder_flow import EncoderFlow, Units, packed

if TYPE_CHECKING:
    import torch
    from torch import nn


@adapter
class QwenVL(Adapter):
    """Grids come with the call as `image_grid_thw` and `video_grid_thw`; groups of patches are merged to one token."""

    model_types: ClassVar[tuple[str, ...]] = ("qwen2_vl", "qwen2_5_vl", "exaone4_5")
    modalities: ClassVar[tuple[str, ...]] = ("image", "video")
    packed = True

    def media(self, config: Any, arguments: Mapping[str, Any]) -> dict[str, list[Medium]]:
        """One medium for each row of a grid that comes with pixels or with precomputed features."""
        found, precomputed = {}, arguments.get("mm_encoder_outputs") or {}
        for modality, pixels in (("image", "pixel_values"), ("video", "pixel_values_videos")):
            if arguments.get(pixels) is not None or precomputed.get(modality) is not None:
                found[modality] = self._grids(config, arguments, modality)
        return found

    def _grids(self, config: Any, arguments: Mapping[str, Any], modality: str) -> list[Medium]:
        grids = arguments[f"{modality}_grid_thw"].tolist()
        merges = self.merge_sizes(config, arguments, modality, len(grids))
        return [Medium(_layout(grid, merge)) for grid, merge in zip(grids, merges, strict=True)]

    def encoder_flow(self, model: nn.Module, modality: str) -> EncoderFlow:
        """Mergers take whole groups of patches: one at the end, and in some families others after earlier layers."""
        encoder: Any = self.encoder(model, modality)
        return EncoderFlow(
            encoder,
            self.encoder_layers(model, modality),
            partial(_arranged, encoder),
            last=self.selected_layer(model.config, modality),
            mergers=(*getattr(encoder, "deepstack_merger_list", ()), encoder.merger),
        )

    def merge_sizes(self, config: Any, arguments: Mapping[str, Any], modality: str, count: int) -> list[int]:
        """Patches a side that are merged to one token, for each medium."""
        return [int(config.vision_config.spatial_merge_size)] * count

    def packing(self, encoder: nn.Module, arguments: Mapping[str, Any]) -> Packing:
        """Merge groups of a grid are consecutive patches; an encoder with windows keeps theirs together."""
        grids = arguments["grid_thw"].tolist()
        given, config = arguments.get("merge_sizes"), getattr(encoder, "config", None)
        merges = [int(config.spatial_merge_size)] * len(grids) if given is None else given.tolist()  # type: ignore[union-attr]
        tokens = tuple(_layout(grid, side).count for grid, side in zip(grids, merges, strict=True))
        return Packing(tokens, tuple(side * side for side in merges), _window_order(encoder, arguments["grid_thw"]))


@adapter
class VideoLlama3(QwenVL):
    """VideoLLaMA 3: merge sizes come with the call."""

    model_types = ("video_llama_3",)

    def merge_sizes(self, config: Any, arguments: Mapping[str, Any], modality: str, count: int) -> list[int]:
        """`image_merge_sizes` and `video_merge_sizes`."""
        return [int(size) for size in arguments[f"{modality}_merge_sizes"].tolist()]

    def encoder_flow(self, model: nn.Module, modality: str) -> EncoderFlow:
        """Groups of patches are averaged after the last norm; the projector maps units one by one."""
        encoder, base = cast(Any, self.encoder(model, modality)), cast(Any, getattr(model, "base_model", model))
        return EncoderFlow(
            encoder,
            encoder.encoder.layers,
            partial(_arranged, encoder),
            last=self.selected_layer(model.config, modality),
            projector=base.projector,
            restored=encoder.post_layernorm,
        )


def _arranged(encoder: Any, arguments: Mapping[str, Any], states: torch.Tensor, smaller: Layout | None) -> list[Units]:
    """The units of a packed run: groups of consecutive patches, in the order of windows where there are any.

    How large its media are the run's own grids say, `smaller` or not.
    """
    import torch

    grids, given = arguments["grid_thw"], arguments.get("merge_sizes")
    sides = [int(encoder.config.spatial_merge_size)] * len(grids) if given is None else given.tolist()
    layouts = [_layout(grid, side) for grid, side in zip(grids.tolist(), sides, strict=True)]
    order, places, first, patch = _window_order(encoder, grids), [], 0, 0
    for layout, side in zip(layouts, sides, strict=True):
        units = torch.arange(layout.count, device=states.device)
        units = units if order is None else order[first + units] - first
        places.append(patch + side * side * units[:, None] + torch.arange(side * side, device=states.device))
        first, patch = first + layout.count, patch + layout.count * side * side
    return packed(layouts, places)


def _window_order(encoder: Any, grids: torch.Tensor) -> torch.Tensor | None:
    """Where each token of the reading order stands among the windows of an encoder with window attention."""
    if not hasattr(encoder, "fullatt_block_indexes"):
        return None
    from transformers.vision_utils import get_vision_window_index

    index, _ = get_vision_window_index(
        grids,
        spatial_merge_size=encoder.spatial_merge_size,
        window_size=encoder.window_size,
        patch_size=encoder.patch_size,
    )
    return index.argsort().to(grids.device)


def _layout(patches: Sequence[int], merge: int) -> Layout:
    """The grid of tokens over (time, height, width) patches."""
    grid = (int(patches[0]), int(patches[1]) // merge, int(patches[2]) // merge)
    return Layout(grid[0] * grid[1] * grid[2], grid)
