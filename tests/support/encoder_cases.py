"""The families that have sites inside their encoders, and where the units of their media stand there, by hand."""

from __future__ import annotations

import math
from typing import Any

import torch
from encoder_oracle import grid_tokens
from family_cases import BY_NAME, fixed_pictures, video_llava
from live_families import FIRST_WORD, WORDS, Case
from transformers.vision_utils import get_vision_window_index

from foveate.ir.encoder_sites import ENCODER_SITES
from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.runtime.adapters import adapter_of


def renamed(row: int) -> Any:
    media, given = fixed_pictures(row)
    return media, {"pixel_values_images": given["pixel_values"]}


CASES = {
    case.name: case
    for case in (*BY_NAME.values(), Case("video_llava-image", video_llava, renamed))
    if (case.name.split("-")[0], case.modality) in ENCODER_SITES
}
SITES = ("encoder.layers.1", "encoder.layers.0.mid", "encoder.output")
POINTS = [
    (name, site)
    for name, case in CASES.items()
    for site in SITES
    if site.startswith("encoder.output") or "encoder.layer" in ENCODER_SITES[name.split("-")[0], case.modality]
]
PACKED_IN_ROWS = ("mistral3", "lighton_ocr")
PIECES = {"voxtral": [1, 2, 3]}
SIDE = dict.fromkeys(("llava", "vipllava", "paligemma", "video_llava", "gemma3"), 1)


def answer(rows: int = 3, steps: int = 8) -> torch.Tensor:
    return torch.randint(FIRST_WORD, WORDS, (rows, steps), generator=torch.Generator().manual_seed(1))


def flow_of(case: Case, model: Any) -> Any:
    return adapter_of(model.config).encoder_flow(model, case.modality)


def unit_tokens(case: Case, model: Any, inputs: Any, shape: tuple[int, int]) -> list[list[list[int]]]:
    """By medium and unit, the places of its tokens in the (R x L) that the encoder holds, worked out by hand."""
    rows, length = shape
    family, grids = case.name.split("-")[0], inputs.get(f"{case.modality}_grid_thw")
    if grids is None and family not in PACKED_IN_ROWS:
        side = SIDE.get(family, 2)
        patches = 4 if family == "llama4" else math.isqrt(length)
        tokens = grid_tokens((1, patches // side, patches // side), side)
        head = 0 if family == "llama4" else length - patches * patches
        if family == "voxtral":  # sounds of one, two and three chunks, four positions side by side
            tokens, head = [list(range(4 * i, 4 * i + 4)) for i in range(4)], 0
        pieces = PIECES.get(case.name, [1] * rows)
        starts = [sum(pieces[:i]) for i in range(len(pieces))]
        return [
            [[(start + row) * length + head + place for place in unit] for row in range(count) for unit in tokens]
            for start, count in zip(starts, pieces, strict=True)
        ]
    if family in PACKED_IN_ROWS:
        sizes, found, start = inputs["image_sizes"].tolist(), [], 0
        for height, width in sizes:
            units = grid_tokens((1, height // 28, width // 28), 2)
            found.append([[start + place for place in unit] for unit in units])
            start += 4 * len(units)
        return found
    order = None
    if hasattr(model.config.vision_config, "window_size"):
        vision = model.config.vision_config
        order = get_vision_window_index(grids, 2, vision.window_size, vision.patch_size)[0].argsort().tolist()
    found, start = [], 0
    for frames, height, width in grids.tolist():
        numbers = range(start, start + frames * height * width // 4)
        places = numbers if order is None else [order[number] for number in numbers]
        found.append([[4 * place + k for k in range(4)] for place in places])
        start = numbers.stop
    return found


def seen_tokens(case: Case, model: Any, inputs: Any, kept: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """(R, L) bool: the encoder's tokens without those of the units that `kept` leaves out."""
    units = unit_tokens(case, model, inputs, shape)
    seen = torch.ones(shape, dtype=torch.bool)
    for chosen, mine in zip(kept.tolist(), units, strict=True):
        for number, tokens in enumerate(mine):
            if number not in chosen:
                seen.view(-1)[tokens] = False
    return seen


def encoder_shape(case: Case, model: Any, inputs: Any) -> tuple[int, int]:
    """Rows and length of the states that the encoder's first layer gets."""
    found: list[tuple[int, int]] = []

    def look(module: Any, args: Any, kwargs: Any) -> None:
        states = args[0] if args else next(iter(kwargs.values()))
        found.append((1, states.shape[0]) if states.ndim == 2 else tuple(states.shape[:2]))

    handle = flow_of(case, model).layers[0].register_forward_pre_hook(look, with_kwargs=True)
    with torch.no_grad():
        model(**inputs)
    handle.remove()
    return found[0]


def plan(case: Case, site: str, keep: float = 0.5) -> Plan:
    return Plan.of(Placement("random", f"{case.modality}.{site}", keep))
