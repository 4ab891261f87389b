"""Phi-4-multimodal: pictures and sounds are embedded inside the decoder itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...ir.layout import Layout
from .base import Adapter, Medium, adapter
from .sounds import runs
from .tiles import side


@adapter
class Phi4Multimodal(Adapter):
    """A picture is its unpadded tiles with a separator after each row, a separator, then the whole view likewise."""

    model_types = ("phi4_multimodal",)
    modalities = ("image", "audio")
    embeds_inside = True

    def placeholder(self, config: Any, modality: str) -> int:
        """The ids stand in the configurations of the towers."""
        part = config.vision_config if modality == "image" else config.audio_config
        return int(getattr(part, f"{modality}_token_id"))

    def media(self, config: Any, arguments: Mapping[str, Any]) -> dict[str, list[Medium]]:
        """One medium for each picture, and for each run of audio placeholders."""
        found, ids = {}, arguments["input_ids"]

        def meant(name: str, modality: str) -> bool:
            # `generate` hands the features on to every step; like the model itself we look for placeholders.
            return arguments.get(name) is not None and bool((ids == self.placeholder(config, modality)).any())

        if meant("image_pixel_values", "image"):
            masks, sizes = arguments["image_attention_mask"], arguments["image_sizes"].view(-1, 2).tolist()
            found["image"] = [_picture(config, size, mask) for size, mask in zip(sizes, masks, strict=True)]
        if meant("audio_input_features", "audio"):
            lengths = runs(ids, self.placeholder(config, "audio"))
            found["audio"] = [Medium(Layout(length)) for length in lengths]
        return found


def _picture(config: Any, size: tuple[int, int], mask: Any) -> Medium:
    """The medium of a picture of `size` (height, width) after tiling; `mask` (tiles, patches, patches) marks it."""
    vision = config.vision_config
    cells = (side(vision.image_size) // side(vision.patch_size) + 1) // 2
    rows, columns = (pixels // vision.crop_size for pixels in size)
    tiles = mask[1 : rows * columns + 1, 0::2, 0::2].reshape(rows, columns, cells, cells).transpose(1, 2)
    whole = tiles.reshape(rows * cells, columns * cells)
    useful = int(whole[:, 0].sum()), int(whole[0].sum())
    detail, view = _row_ends(*useful, start=0), useful[0] * (useful[1] + 1)
    separators = (*detail, view, *_row_ends(cells, cells, start=view + 1))
    return Medium(Layout(useful[0] * useful[1] + cells * cells, separators=len(separators)), separators)


def _row_ends(rows: int, columns: int, *, start: int) -> tuple[int, ...]:
    return tuple(start + row * (columns + 1) + columns for row in range(rows))
