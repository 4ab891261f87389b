"""Does the cost model agree with the clock? Predicts and measures the TTFT of plans on this CPU.

    python benchmarks/cost_model.py [--quick] [--json FILE] [--profile FILE] [--threads N]

Calibrates first (or reads `--profile`), then runs every plan on the trained testbed model and on a random-weight LLaVA
of about 100 M parameters, all plans of a model interleaved in the same rounds. Measured times are stated at the speed
that the machine had when it was calibrated, by the yardstick timed before and after. Exits 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _table import Goal, finish, parser, show

import foveate
from foveate.common.timing import fixed_threads
from foveate.cost_models import CostModel, DeviceProfile, calibrate, load_profile
from foveate.cost_models.yardstick import yardstick_ms
from foveate.ir.graph import Graph
from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.runtime import compare, resolve

MEDIAN_ERROR, P90_ERROR, RANK, PLANS_A_SECOND = 0.10, 0.25, 0.90, 50_000.0
KEEPS = (0.75, 0.5, 0.25, 0.1)


@dataclass(frozen=True)
class Row:
    """One plan: predicted and measured TTFT in ms."""

    plan: str
    predicted: float
    measured: float

    @property
    def error(self) -> float:
        """Predicted over measured, minus one."""
        return self.predicted / self.measured - 1.0


def main() -> int:
    """Run the benchmark; returns the exit code."""
    options = _options()
    with fixed_threads(options.threads or torch.get_num_threads()):
        profile, reference = _profile(options)
        goals = [_table_speed()]
        results: dict[str, Any] = {}
        for name, model in _models(options.only):
            rows = measured_rows(model, profile, reference, quick=options.quick)
            results[name] = [{**asdict(row), "error": row.error} for row in rows]
            _show_rows(name, rows)
            goals += _goals(name, rows)
    return finish(goals, json_file=options.json, figures=results, quick=options.quick)


def measured_rows(model: Any, profile: DeviceProfile, reference: float, *, quick: bool) -> list[Row]:
    """Predicted and measured TTFT of every plan on `model`; `reference` is the yardstick of the calibration in ms."""
    side = model.config.vision_config.image_size
    graph = foveate.trace(model, workload=f"image=1x{side}x{side},text=32,new=1")
    plans = dict(_plans(graph, quick=quick))
    before = yardstick_ms()
    figures = compare(model, _inputs(model, graph), plans, rounds=5 if quick else 15, new_tokens=0)
    now = 0.5 * (before + yardstick_ms())
    cost = CostModel(profile)
    return [
        Row(name, cost.predict(resolve(graph, plan)).ttft_ms, figures[name].ttft_ms * reference / now)
        for name, plan in plans.items()
    ]


def _options() -> argparse.Namespace:
    made = parser("Does the cost model agree with the clock?")
    made.add_argument("--profile", metavar="FILE", help="a measured profile of this machine instead of calibrating")
    made.add_argument("--threads", type=int, help="CPU threads; default torch's own")
    made.add_argument("--only", choices=("testbed", "random"), help="only this model")
    return made.parse_args()


def _profile(options: argparse.Namespace) -> tuple[DeviceProfile, float]:
    """The device, and the yardstick at the time that its profile holds for."""
    reference = yardstick_ms()
    if options.profile:
        return load_profile(Path(options.profile)), reference
    return calibrate(seconds=20.0 if options.quick else 60.0, progress=print), reference


def _models(only: str | None) -> Iterator[tuple[str, Any]]:
    if only != "random":
        from foveate.testbed.loading import load

        yield "testbed", load("image")[0]
    if only != "testbed":
        yield "random-100m", random_llava()


def random_llava() -> Any:
    """A LLaVA of about 100 M random parameters: 196 picture tokens, a decoder of 8 layers of 768 channels."""
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    vision = CLIPVisionConfig(
        hidden_size=512, intermediate_size=2048, num_hidden_layers=8, num_attention_heads=8, image_size=224,
        patch_size=16, projection_dim=512,
    )  # fmt: skip
    text = LlamaConfig(
        hidden_size=768, intermediate_size=2048, num_hidden_layers=8, num_attention_heads=12, num_key_value_heads=12,
        vocab_size=8192, max_position_embeddings=4096,
    )  # fmt: skip
    torch.manual_seed(0)
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_index=8191)
    return LlavaForConditionalGeneration(config).eval()


def _plans(graph: Graph, *, quick: bool) -> Iterator[tuple[str, Plan]]:
    """The uncompressed model, then passes at the projector, early and midway in the decoder, and in pairs."""
    yield "nothing", Plan(())
    middle = graph.decoder.depth // 2
    sites = (("uniform", "image.projector.output"), ("divprune", "image.projector.output"))
    sites += (("random", "decoder.layers.1"), ("fastv", f"decoder.layers.{middle}"))
    for method, site in sites:
        for keep in KEEPS[::2] if quick else KEEPS:
            yield _named(Placement(method, site, keep))
    for keep in () if quick else KEEPS[:3]:
        late = Placement("random", f"decoder.layers.{middle}", keep)
        yield _named(Placement("uniform", "image.projector.output", keep), late)


def _named(*placements: Placement) -> tuple[str, Plan]:
    return " + ".join(placement.label() for placement in placements), Plan(placements)


def _inputs(model: Any, graph: Graph) -> dict[str, torch.Tensor]:
    """One picture of noise and 32 text tokens."""
    media, side = graph.layouts["image"].total, model.config.vision_config.image_size
    ids = torch.full((1, media + graph.workload.text_tokens), 7)
    ids[:, 1 : 1 + media] = model.config.image_token_id
    pixels = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": pixels}


def _table_speed() -> Goal:
    """Plans a second of the vectorised path on a 7B LLaVA: 32 decoder and 24 encoder layers."""
    from transformers import LlavaConfig

    graph = foveate.trace(LlavaConfig(image_token_index=32000), "image=1x336x336,text=64,new=128")
    tokens = np.random.default_rng(0).integers(65, 640, (200_000, len(graph.decoder.layers)))
    model, start = CostModel(load_profile("h100-sxm"), dtype="bfloat16"), time.perf_counter()
    model.predict_many(graph, tokens, np.zeros(len(tokens)))
    rate = len(tokens) / (time.perf_counter() - start)
    return Goal("plans a second", f"{rate:,.0f}", f">= {PLANS_A_SECOND:,.0f}", rate >= PLANS_A_SECOND)


def _goals(name: str, rows: list[Row]) -> list[Goal]:
    errors = np.abs([row.error for row in rows])
    median, p90 = float(np.median(errors)), float(np.quantile(errors, 0.9))
    rank = spearman([row.predicted for row in rows], [row.measured for row in rows])
    return [
        Goal(f"{name}: median error of TTFT", f"{median:.1%}", f"<= {MEDIAN_ERROR:.0%}", median <= MEDIAN_ERROR),
        Goal(f"{name}: 90th percentile of the error", f"{p90:.1%}", f"<= {P90_ERROR:.0%}", p90 <= P90_ERROR),
        Goal(f"{name}: Spearman's rank correlation", f"{rank:.3f}", f">= {RANK}", rank >= RANK),
    ]


def spearman(left: list[float], right: list[float]) -> float:
    """Spearman's rank correlation: Pearson's of the ranks."""
    ranks = [np.argsort(np.argsort(values)).astype(np.float64) for values in (left, right)]
    return float(np.corrcoef(ranks)[0, 1])


def _show_rows(name: str, rows: list[Row]) -> None:
    lines = [[row.plan, f"{row.predicted:.1f}", f"{row.measured:.1f}", f"{row.error:+.1%}"] for row in rows]
    show(f"TTFT of {name}, predicted and measured", ["plan", "predicted ms", "measured ms", "error"], lines)


if __name__ == "__main__":
    sys.exit(main())
