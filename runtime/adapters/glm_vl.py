"""Families with grids as Qwen-VL has them, and another use of placeholders, of clips, or of pictures alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...ir.layout import Layout
from .base import Medium, adapter
from .qwen_vl import QwenVL


@adapter
class GlmVL(QwenVL):
    """A prompt holds pictures or clips, never both, as in the models themselves; timestamps between frames are text."""

    model_types = ("glm4v", "glm4v_moe", "glm46v", "glm_ocr")

    def placeholder(self, config: Any, modality: str) -> int:
        """The pictures' id."""
        return int(config.image_token_id)


@adapter
class KimiVL(QwenVL):
    """Kimi K2.5: pictures; transformers splits the features of a clip, whose steps are averaged, by the wrong sizes."""

    model_types = ("kimi_k25",)
    modalities = ("image",)

    def _grids(self, config: Any, arguments: Mapping[str, Any], modality: str) -> list[Medium]:
        rows, columns = config.vision_config.merge_kernel_size
        grids = arguments[f"{modality}_grid_thw"].tolist()
        return [Medium(Layout.image(int(height) // rows, int(width) // columns)) for _, height, width in grids]


@adapter
class PaddleOcrVL(QwenVL):
    """PaddleOCR-VL: pictures only."""

    model_types = ("paddleocr_vl",)
    modalities = ("image",)
