"""Does the cost model agree with the clock? Predicts and times plans on random models of 20 M to 500 M parameters.

    python benchmarks/cost_model.py [--quick] [--json FILE] [--profile FILE] [--threads N] [--seconds N]

Calibrates first (or reads `--profile`), then runs plans of no to three placements on models that the calibration does
not time, under two workloads each, all plans of a model interleaved in the same rounds. Measured times are stated at
the speed that the machine had when it was calibrated, by the yardstick timed among the rounds. Exits 1 when a goal is
missed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from _cost_rows import Row, error_goals, llava_inputs, rows_of, show_errors
from _random_models import IMAGE_TOKEN, SIZES, random_llava
from _table import Goal, finish, parser

import foveate
from foveate.common.timing import fixed_threads
from foveate.cost_models import CostModel, DeviceProfile, Slots, calibrate_with_report, load_profile
from foveate.cost_models.yardstick import yardstick_ms
from foveate.ir.graph import Graph, Placed
from foveate.ir.op import gemm
from foveate.ir.placement import Placement

TRIPLES, PLANS_A_SECOND = 60, 50_000.0
TEXTS = (32, 200)
PLANS, PLACEMENTS = 200_000, 5


def main() -> int:
    """Run the benchmark; returns the exit code."""
    options = _options()
    with fixed_threads(options.threads or torch.get_num_threads()):
        profile, reference = _profile(options)
        rows = list(_rows(profile, reference, quick=options.quick))
        goals = [Goal("held-out triples", str(len(rows)), f">= {TRIPLES}", len(rows) >= TRIPLES)]
        goals += [*error_goals(rows), _table_speed(quick=options.quick)]
    show_errors(rows)
    figures = {"rows": [asdict(row) for row in rows], "scales": dict(profile.scales), "error": profile.error}
    return finish(goals, json_file=options.json, figures=figures, quick=options.quick)


def _options() -> argparse.Namespace:
    made = parser("Does the cost model agree with the clock?")
    made.add_argument("--profile", metavar="FILE", help="a measured profile of this machine instead of calibrating")
    made.add_argument("--threads", type=int, help="CPU threads; default torch's own")
    made.add_argument("--seconds", type=float, default=120.0, help="of the calibration")
    return made.parse_args()


def _profile(options: argparse.Namespace) -> tuple[DeviceProfile, float]:
    """The device, and the yardstick (ms) of the time that its profile holds for."""
    if options.profile:
        return load_profile(Path(options.profile)), yardstick_ms()
    fit = calibrate_with_report(seconds=10.0 if options.quick else options.seconds, progress=print)
    return fit.profile, fit.yardstick_ms[0]


def _rows(profile: DeviceProfile, reference: float, *, quick: bool) -> Iterator[Row]:
    """Every triple of model, workload and plan."""
    costs = CostModel(profile), CostModel(load_profile("generic-cpu"))
    for size in SIZES[:1] if quick else SIZES:
        model = random_llava(size)
        for text in TEXTS:
            media = (size.side // size.patch) ** 2
            inputs = llava_inputs(model, size.side, text, image_token=IMAGE_TOKEN, media=media)
            workload = f"image=1x{size.side}x{size.side},text={text},new=9"
            found = rows_of(
                size.name, model, workload, inputs, costs, reference_ms=reference, rounds=2 if quick else 5,
                plans=3 if quick else None,
            )  # fmt: skip
            print(f"{size.name}, {workload}: " + ", ".join(f"{row.error('ttft'):+.1%}" for row in found), flush=True)
            yield from found


def _table_speed(*, quick: bool) -> Goal:
    """Plans a second on a 7B LLaVA, 32 decoder and 24 encoder layers, up to five placements with their work priced."""
    from transformers import LlavaConfig

    graph = foveate.trace(LlavaConfig(image_token_index=32000), "image=1x336x336,text=64,new=128")
    slots = Slots.of(CostModel(load_profile("h100-sxm"), dtype="bfloat16").table(graph), _offered(graph))
    draws, plans = np.random.default_rng(0), PLANS // 10 if quick else PLANS
    chosen = np.sort(draws.integers(-1, len(slots.placed), (plans, PLACEMENTS)), axis=1)
    dropped = draws.integers(0, 576 // PLACEMENTS, (plans, PLACEMENTS))
    start = time.perf_counter()
    slots.predict(chosen, dropped)
    rate = plans / (time.perf_counter() - start)
    return Goal("plans a second", f"{rate:,.0f}", f">= {PLANS_A_SECOND:,.0f}", rate >= PLANS_A_SECOND)


def _offered(graph: Graph) -> list[Placed]:
    """Passes of different costs at every site that acts on tokens of the prefill, in order of flow."""
    kinds = ("encoder.layer", "encoder.layer.mid", "encoder.output", "projector.output", "decoder.layer")
    sites = [str(site) for site in graph.sites() if site.kind in kinds]
    works = [(gemm("score", 4096, width),) for width in (1, 8, 64, 512)]
    return [Placed(Placement("random", s, 0.5), "image", 576, 288, work) for s in sites for work in works]


if __name__ == "__main__":
    sys.exit(main())
