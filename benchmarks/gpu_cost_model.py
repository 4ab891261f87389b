"""Calibrates this GPU and prints the cost model's error on LLaVA-1.5-7B and Qwen2.5-VL-7B shapes, random weights.

    python benchmarks/gpu_cost_model.py [--quick] [--json FILE] [--output FILE] [--seconds N]

Everything is in bfloat16; `--output` keeps the measured profile. Without a GPU the same steps run on the CPU with toy
towers, which shows that the script works and no more.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from _cost_rows import Row, error_goals, llava_inputs, rows_of, show_errors
from _random_models import IMAGE_TOKEN, SEVEN_BILLION, Tower, random_llava, random_qwen
from _table import finish, parser

from foveate.cost_models import CostModel, calibrate_with_report, load_profile

DTYPE = "bfloat16"
TEXTS = (64, 512)


def main() -> int:
    """Run the benchmark; returns the exit code."""
    options = _options()
    toy = not torch.cuda.is_available()
    fit = calibrate_with_report(
        device="cpu" if toy else "cuda", dtype=DTYPE, seconds=5.0 if toy else options.seconds, progress=print
    )
    if options.output:
        fit.profile.save(options.output)
    generic = load_profile("generic-cpu" if toy else "h100-sxm")
    costs = CostModel(fit.profile, dtype=DTYPE), CostModel(generic, dtype=DTYPE)
    rounds = 2 if options.quick or toy else 7
    rows = list(_rows(costs, fit.yardstick_ms[0], toy=toy, rounds=rounds, plans=2 if toy else None))
    show_errors(rows)
    figures = {"profile": fit.profile.name, "rows": [asdict(row) for row in rows]}
    return finish(error_goals(rows), json_file=options.json, figures=figures, quick=options.quick or toy)


def _options() -> argparse.Namespace:
    made = parser("The cost model's error on 7B shapes on this GPU")
    made.add_argument("--output", type=Path, help="where to keep the measured profile")
    made.add_argument("--seconds", type=float, default=180.0, help="of the calibration")
    return made.parse_args()


def _rows(
    costs: tuple[CostModel, CostModel], reference: float, *, toy: bool, rounds: int, plans: int | None
) -> Iterator[Row]:
    """Every triple of model, workload and plan; one model is in memory at a time."""
    for name, make in (("LLaVA-1.5-7B", _llava), ("Qwen2.5-VL-7B", _qwen)):
        for text in TEXTS[:1] if toy else TEXTS:
            model, workload, inputs = make(text, toy)
            yield from rows_of(name, model, workload, inputs, costs, reference_ms=reference, rounds=rounds, plans=plans)
            del model, inputs


def _device(toy: bool) -> str:
    return "cpu" if toy else "cuda"


def _llava(text: int, toy: bool) -> tuple[Any, str, Mapping[str, Any]]:
    """LLaVA-1.5-7B's shapes: 576 picture tokens."""
    small = Tower(2, 64, 128, 4)
    size = replace(SEVEN_BILLION, encoder=small, text=small, side=56, vocabulary=512) if toy else SEVEN_BILLION
    model = random_llava(size, dtype=getattr(torch, DTYPE), device=_device(toy))
    media = (size.side // size.patch) ** 2
    inputs = llava_inputs(model, size.side, text, image_token=IMAGE_TOKEN, media=media)
    return model, f"image=1x{size.side}x{size.side},text={text},new=9", inputs


def _qwen(text: int, toy: bool) -> tuple[Any, str, Mapping[str, Any]]:
    """Qwen2.5-VL-7B's shapes with a picture of 1024 merged tokens."""
    model = random_qwen(layers=4 if toy else None, dtype=getattr(torch, DTYPE), device=_device(toy))
    side, config = (112, 896)[not toy], model.config
    cells, merge = side // config.vision_config.patch_size, config.vision_config.spatial_merge_size
    inputs = llava_inputs(model, side, text, image_token=config.image_token_id, media=(cells // merge) ** 2)
    ids, device = inputs["input_ids"], inputs["input_ids"].device
    ids[:, 0] = config.vision_start_token_id
    kinds = (ids == config.image_token_id).int()
    channels = 3 * config.vision_config.temporal_patch_size * config.vision_config.patch_size**2
    patches = torch.randn(cells * cells, channels, generator=torch.Generator().manual_seed(0))
    grid = torch.tensor([[1, cells, cells]], device=device)
    inputs |= {"pixel_values": patches.to(device, model.dtype), "image_grid_thw": grid, "mm_token_type_ids": kinds}
    return model, f"image=1x{side}x{side},text={text},new=9", inputs


if __name__ == "__main__":
    sys.exit(main())
