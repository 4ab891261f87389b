"""A small regularised correction of the analytic model where a user has measurements, with its uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..common.errors import BadInput
from ..ir.graph import Graph
from .profile import DeviceProfile
from .ridge import FEATURES, NORMAL_90, Correction, FloatArray, Ridge, features_of
from .serving import closed_loop
from .turns import conversation_ms

if TYPE_CHECKING:
    from .model import CostModel, Prediction

# Slopes are believed to be smaller than the level: devices are wrong by a factor before they are wrong by a law.
_SLOPE = 0.5
_LEAST_LEVEL = 0.01


@dataclass(frozen=True)
class Measurement:
    """What one model took under one workload and plan: a graph with its placements, TTFT and, where known, TPOT."""

    graph: Graph
    ttft_ms: float
    tpot_ms: float | None = None


def correct(model: CostModel, measurements: Sequence[Measurement]) -> CostModel:
    """`model` with its profile drawn towards `measurements`, which replace those of an earlier correction.

    Ridge regression in log space on few features (`ridge.FEATURES`), with a prior at zero whose spread is the
    profile's own error. So without measurements the prediction and its interval stay as they are, and each
    measurement moves and narrows them.

    Raises:
        BadInput: a measured time that is not above zero.
    """
    from .model import CostModel

    bare = model.uncorrected
    found = _correction(bare, measurements) if measurements else None
    profile: DeviceProfile = replace(bare.profile, correction=found)
    return CostModel(profile, dtype=model.pricer.dtype, weight_dtype=model.pricer.weight_dtype)


def corrected(model: CostModel, graph: Graph, bare: Prediction, correction: Correction) -> Prediction:
    """`bare`, the prediction of `model` without its correction, with times corrected and intervals those of it."""
    work, ttft_features, tpot_features = graph.workload, *_features(graph, bare)
    first, step = float(correction.ttft_factor(ttft_features)), float(correction.tpot_factor(tpot_features))
    ttft, tpot = first * bare.ttft_ms, step * bare.tpot_ms
    serving = closed_loop(ttft, tpot, workload=work)
    turns = conversation_ms(model, graph, ttft_ms=0.0, tpot_ms=0.0)
    answers = max(work.new_tokens - 1, 0) * tpot
    return replace(
        bare,
        ttft_ms=ttft,
        tpot_ms=tpot,
        latency_ms=ttft + answers,
        throughput_per_s=serving.throughput_per_s,
        stages=tuple(replace(stage, ms=first * stage.ms) for stage in bare.stages),
        compression_ms=first * bare.compression_ms,
        interval=_interval(correction.ttft, ttft_features, bare.ttft_ms, bare.interval),
        tpot_interval=_interval(correction.tpot, tpot_features, bare.tpot_ms, bare.tpot_interval),
        queued_ttft_ms=serving.ttft_ms,
        queued_latency_ms=serving.latency_ms,
        later_turn_ms=first * bare.later_turn_ms,
        conversation_ms=ttft + first * turns + work.turns * answers,
    )


def _correction(model: CostModel, measurements: Sequence[Measurement]) -> Correction:
    times = [t for one in measurements for t in (one.ttft_ms, one.tpot_ms) if t is not None]
    if not all(np.isfinite(time) and time > 0 for time in times):
        raise BadInput("a measured time is not above zero; give TTFT and TPOT in milliseconds.")
    pairs = [(model.predict(one.graph), one) for one in measurements]
    features = [_features(one.graph, prediction) for prediction, one in pairs]
    ttft = [(f, p.interval, one.ttft_ms / p.ttft_ms) for (p, one), (f, _) in zip(pairs, features, strict=True)]
    tpot = [
        (f, p.tpot_interval, one.tpot_ms / p.tpot_ms)
        for (p, one), (_, f) in zip(pairs, features, strict=True)
        if one.tpot_ms is not None
    ]
    return Correction(len(measurements), _ridge(ttft), _ridge(tpot) if tpot else None)


def _ridge(seen: Sequence[tuple[FloatArray, tuple[float, float], float]]) -> Ridge:
    """The fit to (features, predicted bounds, measured / predicted); the bounds' width is the prior's."""
    widths = [np.log(high / low) / 2 for _, (low, high), _ in seen]
    level = max(float(np.median(widths)) / NORMAL_90, _LEAST_LEVEL)
    spread = np.array([level, *[_SLOPE * level] * (len(FEATURES) - 1)])
    return Ridge.fit(np.array([features for features, _, _ in seen]), np.log([ratio for *_, ratio in seen]), spread)


def _features(graph: Graph, bare: Prediction) -> tuple[FloatArray, FloatArray]:
    """Features of TTFT and of TPOT."""
    stages = zip(graph.stages, bare.stages, strict=True)
    encoder = sum(cost.ms for stage, cost in stages if stage.role == "encoder")
    shares = {"ttft_ms": bare.ttft_ms, "encoder_ms": encoder, "compression_ms": bare.compression_ms}
    return features_of(bare.ttft_ms, **shares), features_of(bare.tpot_ms, **shares)


def _interval(fit: Ridge | None, features: FloatArray, ms: float, bare: tuple[float, float]) -> tuple[float, float]:
    low, high = (bare[0] / ms, bare[1] / ms) if fit is None else fit.bounds(features)
    return low * ms, high * ms
