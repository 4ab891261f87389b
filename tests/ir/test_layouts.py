"""Token counts by rule against transformers' own processors, constructed directly."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import get_optimal_tiled_canvas
from transformers.models.llava_next.processing_llava_next import LlavaNextProcessor
from transformers.models.llava_onevision.processing_llava_onevision import LlavaOnevisionProcessor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize as qwen_resize

from foveate.ir.families.anyres import AnyResolution, OneVision, tiling
from foveate.ir.families.defaults import default_config
from foveate.ir.families.grids import smart_resize
from foveate.ir.families.natives import longest_edge
from foveate.ir.families.tiles import canvas

sides = st.integers(28, 2400)


@given(sides, sides, st.sampled_from([28, 32, 48]))
def test_smart_resizing_is_qwens(height: int, width: int, factor: int) -> None:
    least, most = 56 * 56, 28 * 28 * 1280
    expected = qwen_resize(height, width, factor, min_pixels=least, max_pixels=most)
    assert smart_resize(height, width, factor=factor, least=least, most=most) == expected


@given(sides, sides, st.integers(1, 12))
def test_the_canvas_of_tiles_is_internvls(height: int, width: int, most: int) -> None:
    columns, rows = get_optimal_tiled_canvas((height, width), (448, 448), 1, most)
    assert canvas((height, width), 448, least=1, most=most) == (rows, columns)


def processor_of(cls: Any, pinpoints: Any, **fields: Any) -> Any:
    found = object.__new__(cls)
    found.__dict__.update(image_processor=SimpleNamespace(image_grid_pinpoints=pinpoints), **fields)
    return found


@given(sides, sides)
def test_any_resolution_counts_are_llava_nexts(height: int, width: int) -> None:
    config = CONFIGS["llava_next"]
    pinpoints = config.image_grid_pinpoints
    processor = processor_of(
        LlavaNextProcessor,
        pinpoints,
        patch_size=14,
        num_additional_image_tokens=0,
        vision_feature_select_strategy="full",
    )
    grid = tiling((height, width), pinpoints, 336)
    layouts = AnyResolution(config).layouts([(height, width)], [grid])
    assert layouts is not None
    assert layouts[0].total == processor._get_number_of_features(height, width, 336, 336)


@given(sides, sides)
def test_any_resolution_counts_are_onevisions(height: int, width: int) -> None:
    config = CONFIGS["llava_onevision"]
    pinpoints = config.image_grid_pinpoints
    side = config.vision_config.image_size
    patches = side // config.vision_config.patch_size
    most = int(config.vision_aspect_ratio.removeprefix("anyres_max_"))
    processor = processor_of(
        LlavaOnevisionProcessor,
        pinpoints,
        num_image_tokens=patches * patches,
        vision_aspect_ratio=f"anyres_max_{most}",
        vision_feature_select_strategy="full",
    )
    grid = tiling((height, width), pinpoints, side)
    layouts = OneVision(config).layouts([(height, width)], [grid])
    assert layouts is not None
    assert layouts[0].total == processor._get_number_of_features(height, width, side, side)


CONFIGS = {name: default_config(name) for name in ("llava_next", "llava_onevision")}


@pytest.mark.parametrize(
    ("size", "expected"), [((1540, 1540), (1540, 1540)), ((300, 200), (308, 224)), ((3080, 1540), (1540, 784))]
)
def test_a_longest_edge_scales_down_only(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert longest_edge(size, longest=1540, factor=28) == expected
