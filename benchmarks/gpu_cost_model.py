"""Calibrates this GPU and prints the cost model's error on LLaVA-1.5-7B and Qwen2.5-VL-7B shapes, random weights.

    python benchmarks/gpu_cost_model.py [--quick] [--json FILE] [--output FILE] [--seconds N]

Everything is in bfloat16; `--output` keeps the measured profile. Without a GPU the same steps run on the CPU with toy
towers, which shows that the script works and no more.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import torch
from _cost_rows import Row, error_goals, pace_of, rows_of, show_errors
from _seven_billion import CASES, DTYPE
from _table import finish, parser

from foveate.cost_models import CostModel, calibrate_with_report, load_profile
from foveate.cost_models.timed import Stopwatch

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
    rows = list(
        _rows(
            costs,
            Stopwatch("cpu" if toy else "cuda", pace_of(fit.profile)),
            toy=toy,
            rounds=rounds,
            plans=2 if toy else None,
        )
    )
    show_errors(rows)
    figures = {"profile": fit.profile.name, "rows": [asdict(row) for row in rows]}
    return finish(error_goals(rows), json_file=options.json, figures=figures, quick=options.quick or toy)


def _options() -> argparse.Namespace:
    made = parser("The cost model's error on 7B shapes on this GPU")
    made.add_argument("--output", type=Path, help="where to keep the measured profile")
    made.add_argument("--seconds", type=float, default=180.0, help="of the calibration")
    return made.parse_args()


def _rows(
    costs: tuple[CostModel, CostModel], watch: Stopwatch, *, toy: bool, rounds: int, plans: int | None
) -> Iterator[Row]:
    """Every triple of model, workload and plan; one model is in memory at a time."""
    for name, make in CASES.items():
        for text in TEXTS[:1] if toy else TEXTS:
            model, workload, inputs = make(text, toy)
            yield from rows_of(name, model, workload, inputs, costs, watch=watch, rounds=rounds, plans=plans)
            del model, inputs


if __name__ == "__main__":
    sys.exit(main())
