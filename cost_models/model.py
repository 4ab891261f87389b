"""Whole-model predictions from a graph: time to first token, time per output token, memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..ir.graph import Graph, Stage
from . import flow
from .latency import Pricer
from .parts import PASSES
from .profile import DeviceProfile
from .serving import closed_loop
from .turns import conversation_ms, later_turn_ms

if TYPE_CHECKING:
    from .limits import Limit
    from .table import Table


@dataclass(frozen=True)
class StageCost:
    """One stage's share of the prefill: its name, its time in ms, the tokens of one request that enter it."""

    name: str
    ms: float
    tokens: int


@dataclass(frozen=True)
class Prediction:
    """What the cost model says of one graph.

    Attributes:
        ttft_ms: processor outputs to first logits, without queueing. tpot_ms: mean over the later tokens.
        latency_ms: the whole answer of the first turn.
        throughput_per_s: requests a second, `concurrency` of them in flight and sharing decode steps (`closed_loop`).
        memory_bytes: weights, caches when the answers of all turns are complete, largest activation.
        kv_bytes: keys and values that one request batch holds after the prefill, exact.
        stages: prefill by stage. compression_ms: the passes' own work, part of ttft_ms.
        interval: (low, high) of ttft_ms by the profile's error, 90 % of cases, part by part where it has one for each.
        tpot_interval: the same of tpot_ms.
        queued_ttft_ms, queued_latency_ms: medians under the workload's concurrency, waiting included.
        later_turn_ms: time to first token of the last turn where there are several, 0 else (`turns.later_turn_ms`).
        conversation_ms: all turns with their answers, one request at a time.
    """

    ttft_ms: float
    tpot_ms: float
    latency_ms: float
    throughput_per_s: float
    memory_bytes: int
    kv_bytes: int
    stages: tuple[StageCost, ...]
    compression_ms: float
    interval: tuple[float, float]
    tpot_interval: tuple[float, float] = (0.0, 0.0)
    queued_ttft_ms: float = 0.0
    queued_latency_ms: float = 0.0
    later_turn_ms: float = 0.0
    conversation_ms: float = 0.0


class CostModel:
    """Predicts what a graph costs on one device.

    Args:
        profile: the device. dtype: of activations and arithmetic, a key of the profile's peak rates.
        weight_dtype: of stored weights where they are quantised; None is `dtype`.

    Raises:
        BadInput: an unknown dtype, or one that the device has no rate for.
    """

    def __init__(self, profile: DeviceProfile, *, dtype: str = "float32", weight_dtype: str | None = None) -> None:
        self.profile = profile
        self.pricer = Pricer(profile, dtype, weight_dtype)

    @property
    def uncorrected(self) -> CostModel:
        """This model without the correction that its profile may carry."""
        bare = replace(self.profile, correction=None)
        return CostModel(bare, dtype=self.pricer.dtype, weight_dtype=self.pricer.weight_dtype)

    def predict(self, graph: Graph) -> Prediction:
        """Every figure of `graph` under its workload, its placements included; runs nothing."""
        from .correction import corrected

        bare, correction = self._bare(graph), self.profile.correction
        return bare if correction is None else corrected(self, graph, bare, correction)

    def _bare(self, graph: Graph) -> Prediction:
        """The figures by the profile alone, whatever correction it carries."""
        work = graph.workload
        stages = tuple(StageCost(s.name, self.stage_ms(graph, s), _entering(s)) for s in graph.stages)
        compression = sum(flow.placed_ms(self.pricer, graph, item) for item in graph.placed)
        ttft = sum(stage.ms for stage in stages) + compression
        tpot = self.tpot_ms(graph)
        serving = closed_loop(ttft, tpot, workload=work)
        return Prediction(
            ttft_ms=ttft,
            tpot_ms=tpot,
            latency_ms=ttft + max(work.new_tokens - 1, 0) * tpot,
            throughput_per_s=serving.throughput_per_s,
            memory_bytes=round(self.memory_bytes(graph)),
            kv_bytes=round(self.kv_bytes(graph)),
            stages=stages,
            compression_ms=float(compression),
            interval=self._ttft_interval(graph, stages, compression),
            tpot_interval=_scaled(tpot, self.profile.bounds("decode", tpot)),
            queued_ttft_ms=serving.ttft_ms,
            queued_latency_ms=serving.latency_ms,
            later_turn_ms=later_turn_ms(self, graph, turn=work.turns) if work.turns > 1 else 0.0,
            conversation_ms=conversation_ms(self, graph, ttft_ms=ttft, tpot_ms=tpot),
        )

    def _ttft_interval(self, graph: Graph, stages: tuple[StageCost, ...], compression: float) -> tuple[float, float]:
        """Bounds of TTFT: its parts' errors have the machine in common, so that all are at their bound together."""
        stage_times = [(stage.role, cost.ms) for stage, cost in zip(graph.stages, stages, strict=True)]
        work = [one for item in graph.placed for one in flow.primitive_times(self.pricer, graph, item)]
        host = compression - sum(ms for _, ms in work)
        times = (*stage_times, *work, (PASSES, host))
        bounds = [_scaled(ms, self.profile.bounds(part, ms)) for part, ms in times]
        return sum(low for low, _ in bounds), sum(high for _, high in bounds)

    def stage_ms(self, graph: Graph, stage: Stage) -> float:
        """Time of one prefill of `stage`."""
        device = flow.stage_prefill_ms(self.pricer, graph, stage)
        return float(self.pricer.joined_ms(device, calls=flow.calls(stage), runs=1, part=stage.role))

    def tpot_ms(self, graph: Graph) -> float:
        """Mean time of a decode step that all concurrent rows share."""
        return sum(self.decode_stage_ms(graph, stage) for stage in graph.stages if flow.decodes(stage))

    def decode_stage_ms(self, graph: Graph, stage: Stage) -> float:
        """Mean time of `stage` in one decode step."""
        device, steps = flow.stage_decode_ms(self.pricer, graph, stage), flow.decode_steps(stage)
        return float(self.pricer.joined_ms(device, calls=flow.calls(stage), steps=steps, part="decode"))

    def kv_bytes(self, graph: Graph, *, extra_tokens: int = 0) -> float:
        """Bytes of keys and values of one request batch, after the prefill and `extra_tokens` more tokens."""
        cached = sum(tokens + extra_tokens for tokens in graph.cached_tokens())
        elements = graph.workload.batch * graph.decoder.key_value_width * cached
        return elements * self.pricer.activation_bytes

    def memory_bytes(self, graph: Graph) -> float:
        """Weights, the caches of all concurrent requests at their fullest, and the largest activation."""
        caches = graph.workload.concurrency * self.kv_bytes(graph, extra_tokens=flow.answer_tokens(graph))
        activation = max(self.activation_bytes(graph, stage) for stage in graph.stages)
        return flow.weight_bytes(self.pricer, graph) + caches + activation

    def activation_bytes(self, graph: Graph, stage: Stage) -> float:
        """Estimate of the activations alive at the largest op of the prefill of `stage`."""
        sequences, counts = stage.sequences * graph.workload.batch, flow.prefill_counts(stage)
        largest = 0.0
        for group in flow.layer_groups(stage):
            held = counts[list(group.members)]
            alive = flow.activation_bytes(self.pricer, group.ops, held, sequences=sequences, width=stage.width)
            largest = max(largest, float(alive.max()))
        return largest

    def table(self, graph: Graph) -> Table:
        """Figures of many plans at once, equal to `predict` to rounding; see `cost_models.table`."""
        from .table import Table

        return Table.of(self, graph)

    def limits(self, graph: Graph) -> tuple[Limit, ...]:
        """The most that compression at each site of `graph` could gain; see `limits.limits`."""
        from .limits import limits

        return limits(self, graph)


def _scaled(ms: float, bounds: tuple[float, float]) -> tuple[float, float]:
    return ms * bounds[0], ms * bounds[1]


def _entering(stage: Stage) -> int:
    return stage.sequences * int(flow.prefill_counts(stage)[0])
