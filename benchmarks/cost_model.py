"""Does the cost model agree with the clock? Predicts and times plans on random models of 20 M to 500 M parameters.

    python benchmarks/cost_model.py [--quick] [--json FILE] [--threads N] [--seconds N] [--output FILE]
    python benchmarks/cost_model.py --profile FILE [--measured FILE]      # of an earlier run: no calibration, no clock

Calibrates first (or reads `--profile`), then runs plans of no to three placements on models that the calibration does
not time, under two workloads each, all plans of a model interleaved in the same rounds. Measured times are stated at
the pace that the machine had when it was calibrated, by the two yardsticks timed before and after every run. Exits 1
when a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from _cost_memory import MemoryRow, memory_goals, memory_rows, show_memory
from _cost_rows import STEPS, Row, error_goals, llava_inputs, pace_of, predicted_row, rows_of, show_errors
from _random_models import IMAGE_TOKEN, SIZES, Size, random_llava
from _table import Goal, finish, parser

import foveate
from foveate.common.timing import fixed_threads
from foveate.cost_models import CostModel, DeviceProfile, Slots, calibrate, load_profile
from foveate.cost_models.timed import Stopwatch
from foveate.cost_models.yardstick import Pace
from foveate.ir.graph import Graph, Placed
from foveate.ir.op import gemm
from foveate.ir.placement import Placement

TRIPLES, PLANS_A_SECOND = 60, 50_000.0
TEXTS = (32, 200)
ROUNDS = 4
PLANS, PLACEMENTS = 200_000, 5


def main() -> int:
    """Run the benchmark; returns the exit code."""
    options = _options()
    with fixed_threads(options.threads or torch.get_num_threads()):
        profile = _profile(options)
        rows = list(_earlier(profile, options.measured) if options.measured else _rows(profile, quick=options.quick))
        goals = [Goal("held-out triples", str(len(rows)), f">= {TRIPLES}", len(rows) >= TRIPLES)]
        memory = list(_earlier_memory(options.measured) if options.measured else _memory(profile, quick=options.quick))
        goals += [*error_goals(rows), *memory_goals(memory), _table_speed(quick=options.quick)]
    show_errors(rows)
    if memory:
        show_memory(memory)
    figures = {"rows": [asdict(row) for row in rows], "scales": dict(profile.scales), "error": profile.error,
               "pace_ms": dict(pace_of(profile).data()), "threads": profile.threads,
               "memory": [asdict(row) for row in memory]}  # fmt: skip
    return finish(goals, json_file=options.json, figures=figures, quick=options.quick)


def _options() -> argparse.Namespace:
    made = parser("Does the cost model agree with the clock?")
    made.add_argument("--profile", metavar="FILE", help="a measured profile of this machine instead of calibrating")
    made.add_argument("--measured", metavar="FILE", help="predict the triples of this earlier --json instead of timing")
    made.add_argument("--output", metavar="FILE", help="keep the profile that was calibrated")
    made.add_argument("--threads", type=int, help="CPU threads; default torch's own")
    made.add_argument("--seconds", type=float, default=240.0, help="of the calibration")
    return made.parse_args()


def _profile(options: argparse.Namespace) -> DeviceProfile:
    """The device: read, or calibrated now."""
    if options.profile:
        return load_profile(Path(options.profile))
    seconds = 10.0 if options.quick else options.seconds
    found = calibrate(seconds=seconds, progress=lambda line: print(line, flush=True))
    if options.output:
        found.save(options.output)
    return found


def _rows(profile: DeviceProfile, *, quick: bool) -> Iterator[Row]:
    """Every triple of model, workload and plan."""
    costs, watch = _costs(profile), Stopwatch("cpu", pace_of(profile))
    for size in SIZES[:1] if quick else SIZES:
        model = random_llava(size)
        for text in TEXTS:
            media = (size.side // size.patch) ** 2
            inputs = llava_inputs(model, size.side, text, image_token=IMAGE_TOKEN, media=media)
            found = rows_of(
                size.name, model, _workload(size, text), inputs, costs, watch=watch, rounds=2 if quick else ROUNDS,
                plans=3 if quick else None,
            )  # fmt: skip
            words = ", ".join(f"{row.error('ttft'):+.1%} {row.error('decode'):+.1%}" for row in found)
            print(f"{size.name}, {_workload(size, text)}: {words}", flush=True)
            yield from found


def _memory(profile: DeviceProfile, *, quick: bool) -> Iterator[MemoryRow]:
    """Peak memory of every model under its longest prompt."""
    text = TEXTS[-1]
    for size in SIZES[:1] if quick else SIZES:
        model, media = random_llava(size), (size.side // size.patch) ** 2
        inputs = llava_inputs(model, size.side, text, image_token=IMAGE_TOKEN, media=media)
        yield from memory_rows(size.name, model, _workload(size, text), inputs, CostModel(profile))


def _earlier(profile: DeviceProfile, file: str) -> Iterator[Row]:
    """The triples of an earlier table, predicted anew; its times are stated at the pace of `profile`."""
    figures = json.loads(Path(file).read_text(encoding="utf-8"))["figures"]
    costs, then, now = _costs(profile), Pace(**figures["pace_ms"]), pace_of(profile)
    graphs = {(size.name, f"{_workload(size, text)} on cpu"): foveate.trace(model, workload=_workload(size, text))
              for size in SIZES for model in (random_llava(size, device="meta"),) for text in TEXTS}  # fmt: skip
    for row in figures["rows"]:
        measured = {part: ms * now.slowdown(then, part) for part, ms in row["measured"].items()}
        graph = graphs[row["model"], row["workload"]]
        yield predicted_row(row["model"], row["workload"], graph, row["plan"], costs, measured)


def _earlier_memory(file: str) -> Iterator[MemoryRow]:
    """Peak memory as an earlier table has it."""
    figures = json.loads(Path(file).read_text(encoding="utf-8"))["figures"]
    return (MemoryRow(**row) for row in figures.get("memory", ()))


def _costs(profile: DeviceProfile) -> tuple[CostModel, CostModel]:
    """The calibrated model and the one that nothing was measured for."""
    return CostModel(profile), CostModel(load_profile("generic-cpu"))


def _workload(size: Size, text: int) -> str:
    return f"image=1x{size.side}x{size.side},text={text},new={STEPS + 1}"


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
