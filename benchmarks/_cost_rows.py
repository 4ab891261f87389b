"""Plans predicted and timed part by part, and how well the two agree: what both cost model benchmarks share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from _table import Goal, show

import foveate
from foveate.common.errors import BadInput
from foveate.cost_models import CostModel, DeviceProfile
from foveate.cost_models.specimens import timed_parts
from foveate.cost_models.timed import Stopwatch
from foveate.cost_models.yardstick import Pace
from foveate.ir.graph import Graph
from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.runtime import resolve

PARTS = ("encoder", "decoder", "ttft", "decode")
LABELS = {"encoder": "encoder", "decoder": "decoder", "ttft": "TTFT", "decode": "TPOT"}
STEPS = 8


@dataclass(frozen=True)
class Row:
    """One triple of model, workload and plan: ms by part, predicted, predicted by a generic profile, and measured.

    `interval` holds the predicted bounds of TTFT and TPOT.
    """

    model: str
    workload: str
    plan: str
    predicted: Mapping[str, float]
    generic: Mapping[str, float]
    measured: Mapping[str, float]
    interval: Mapping[str, tuple[float, float]]

    def error(self, part: str) -> float:
        """Predicted over measured, minus one."""
        return self.predicted[part] / self.measured[part] - 1.0


def rows_of(
    name: str, model: Any, workload: str, inputs: Mapping[str, Any], costs: tuple[CostModel, CostModel], *,
    watch: Stopwatch, rounds: int, plans: int | None = None,
) -> list[Row]:  # fmt: skip
    """Every plan on `model`, all of them interleaved in the same rounds; times at the reference pace of `watch`."""
    graph = foveate.trace(model, workload=workload)
    chosen = dict(list(plans_of(graph))[:plans])
    measured = _timed(model, inputs, chosen, rounds, watch)
    where = f"{workload} on {next(model.parameters()).device.type}"
    return [predicted_row(name, where, graph, label, costs, measured[label]) for label in chosen]


def predicted_row(
    name: str,
    workload: str,
    graph: Graph,
    label: str,
    costs: tuple[CostModel, CostModel],
    measured: Mapping[str, float],
) -> Row:
    """The row of the plan called `label`: what it took and what the two cost models say."""
    placed = resolve(graph, dict(plans_of(graph))[label])
    predicted, generic = (parts_of(cost, placed) for cost in costs)
    whole = costs[0].predict(placed)
    interval = {"ttft": whole.interval, "decode": whole.tpot_interval}
    return Row(name, workload, label, predicted, generic, measured, interval)


def parts_of(cost: CostModel, graph: Graph) -> dict[str, float]:
    """Predicted ms by part; the work of a pass inside the decoder is the decoder's."""
    from foveate.cost_models import flow

    inside = [item for item in graph.placed if item.placement.site.startswith("decoder.layers")]
    work = sum(flow.placed_ms(cost.pricer, graph, item) for item in inside)
    encoder = sum(cost.stage_ms(graph, s) for s in graph.stages if s.role == "encoder")
    whole = cost.predict(graph)
    decoder = cost.stage_ms(graph, graph.decoder) + work
    return {"encoder": encoder, "decoder": decoder, "ttft": whole.ttft_ms, "decode": whole.tpot_ms}


def plans_of(graph: Graph) -> Iterator[tuple[str, Plan]]:
    """Plans of no to three placements, at the projector, early and late in the decoder, and at both.

    Their costs lie some per cent apart: the order of plans that cost the same tells nothing.
    """
    early, middle, late = (f"decoder.layers.{max(1, graph.decoder.depth * part // 4)}" for part in (1, 2, 3))
    projector = "image.projector.output"
    yield "nothing", Plan(())
    yield _named(Placement("uniform", projector, 0.5))
    yield _named(Placement("divprune", projector, 0.1))
    yield _named(Placement("fastv", middle, 0.25))
    yield _named(Placement("random", late, 0.25))
    yield _named(Placement("uniform", projector, 0.4), Placement("random", middle, 0.25))
    yield _named(Placement("uniform", projector, 0.75), Placement("random", early, 0.5), Placement("random", late, 0.5))


def _named(*placements: Placement) -> tuple[str, Plan]:
    return " + ".join(placement.label() for placement in placements), Plan(placements)


def pace_of(profile: DeviceProfile) -> Pace:
    """The pace that the times of a measured profile are stated at.

    Raises:
        BadInput: the profile does not say.
    """
    if profile.measured is None or not profile.measured.pace_ms:
        raise BadInput(f"profile {profile.name} does not say how fast its machine was; calibrate again.")
    return Pace(**profile.measured.pace_ms)


def _timed(
    model: Any, inputs: Mapping[str, Any], plans: Mapping[str, Plan], rounds: int, watch: Stopwatch
) -> dict[str, dict[str, float]]:
    """Median ms by part of every plan; the first round warms up."""
    functions = {label: partial(_under, model, inputs, plan) for label, plan in plans.items()}
    taken: dict[str, list[Mapping[str, float]]] = {label: [] for label in plans}
    for turn in range(rounds + 1):
        for label, parts in watch.paced(functions, turn):
            if turn:
                taken[label].append(parts)
    return {
        label: {part: 1e3 * float(np.median([one[part] for one in runs])) for part in PARTS}
        for label, runs in taken.items()
    }


def _under(model: Any, inputs: Mapping[str, Any], plan: Plan) -> Mapping[str, float]:
    """Seconds by part of one request under `plan`; applying it is not timed."""
    with foveate.apply(model, plan):
        return timed_parts(model, inputs, steps=STEPS)


def show_errors(rows: Sequence[Row]) -> None:
    """Median and 90th percentile of the error by model and part, and the rank correlation over its plans."""
    lines = []
    for model in dict.fromkeys(row.model for row in rows):
        mine = [row for row in rows if row.model == model]
        cells = [f"{m:.1%} / {p:.1%}" for m, p in (spread(mine, part) for part in PARTS)]
        ranks = [f"{spearman_of(mine, source):.3f}" for source in ("predicted", "generic")]
        lines.append([model, len(mine), *cells, *ranks])
    columns = ["model", "triples", *(LABELS[part] for part in PARTS), "Spearman", "generic"]
    show("Error of the prediction, median / 90th percentile of |predicted / measured - 1|", columns, lines)


def spread(rows: Sequence[Row], part: str) -> tuple[float, float]:
    """Median and 90th percentile of the absolute error of `part`."""
    errors = np.abs([row.error(part) for row in rows])
    return float(np.median(errors)), float(np.quantile(errors, 0.9))


def spearman_of(rows: Sequence[Row], source: str) -> float:
    """The lowest rank correlation of predicted and measured TTFT over the plans of one model and workload."""
    groups = [[row for row in rows if row.workload == work] for work in {row.workload for row in rows}]
    return min(spearman([getattr(r, source)["ttft"] for r in g], [r.measured["ttft"] for r in g]) for g in groups)


def spearman(left: Sequence[float], right: Sequence[float]) -> float:
    """Spearman's rank correlation: Pearson's of the ranks."""
    ranks = [np.argsort(np.argsort(values)).astype(np.float64) for values in (left, right)]
    return float(np.corrcoef(ranks)[0, 1])


def coverage(rows: Sequence[Row]) -> float:
    """Share of measured TTFT and TPOT that lie in their predicted intervals."""
    held = [low <= row.measured[part] <= high for row in rows for part, (low, high) in row.interval.items()]
    return float(np.mean(held))


def error_goals(rows: Sequence[Row]) -> list[Goal]:
    """The goals on errors, ranks and coverage over all rows."""
    goals = []
    for part in ("ttft", "decode"):
        median, p90 = spread(rows, part)
        goals.append(Goal(f"median error of {LABELS[part]}", f"{median:.1%}", "<= 8 %", median <= 0.08))
        goals.append(Goal(f"90th percentile of the error of {LABELS[part]}", f"{p90:.1%}", "<= 20 %", p90 <= 0.2))
    for source, words, least in (("predicted", "calibrated", 0.95), ("generic", "generic profile", 0.9)):
        ranks = [spearman_of([r for r in rows if r.model == m], source) for m in {row.model for row in rows}]
        label = f"lowest Spearman over the plans of one model, {words}"
        goals.append(Goal(label, f"{min(ranks):.3f}", f">= {least}", min(ranks) >= least))
    held = coverage(rows)
    goals.append(Goal("measured times inside their 90 % interval", f"{held:.0%}", ">= 85 %", held >= 0.85))
    return goals


def llava_inputs(model: Any, side: int, text: int, *, image_token: int, media: int) -> dict[str, torch.Tensor]:
    """One picture of noise and `text` tokens, on the model's device."""
    parameter = next(model.parameters())
    ids = torch.full((1, media + text), 7, device=parameter.device)
    ids[:, 1 : 1 + media] = image_token
    pixels = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    pixels = pixels.to(parameter.device, parameter.dtype)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": pixels}
