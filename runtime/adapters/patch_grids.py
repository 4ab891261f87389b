"""Families whose pictures are one square grid of patches, as it is or after a fixed reduction."""

from __future__ import annotations

from typing import Any

from ...ir.layout import Layout
from .base import adapter
from .tiles import TiledAdapter, square


@adapter
class PatchGrid(TiledAdapter):
    """DeepSeek-VL and Janus: every patch is projected to one token."""

    model_types = ("deepseek_vl", "janus")

    def tile(self, config: Any) -> Layout:
        """The tower's grid."""
        return square(config.vision_config)


@adapter
class GotOcr2(TiledAdapter):
    """GOT-OCR 2: two strided convolutions after the tower."""

    model_types = ("got_ocr2",)

    def tile(self, config: Any) -> Layout:
        """A quarter of the tower's side."""
        return square(config.vision_config, factor=4)


@adapter
class Ovis2(TiledAdapter):
    """Ovis 2: squares of `hidden_stride` patches choose visual words; indicator tokens are text."""

    model_types = ("ovis2",)

    def tile(self, config: Any) -> Layout:
        """The grid of squares."""
        return square(config.vision_config, factor=config.vision_config.hidden_stride)


@adapter
class Aria(TiledAdapter):
    """Aria: a fixed number of queries for each picture, by its number of patches."""

    model_types = ("aria",)

    def tile(self, config: Any) -> Layout:
        """The queries of a picture of the tower's size."""
        patches = square(config.vision_config).count
        queries = {int(size): count for size, count in config.projector_patch_to_query_dict.items()}
        return Layout(int(queries[patches]))

    def refusal(self, config: Any) -> str | None:
        """The table must know the tower's pictures."""
        patches = square(config.vision_config).count
        if patches not in map(int, config.projector_patch_to_query_dict):
            return f"its projector_patch_to_query_dict has no entry for the {patches} patches of its tower"
        return None
