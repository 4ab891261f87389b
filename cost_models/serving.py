"""Many requests at once: a closed loop of clients before one device, first come first served."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..ir.workload import Workload


@dataclass(frozen=True)
class Serving:
    """Figures under concurrency, each a float or an array as the times that it was computed from.

    Attributes:
        throughput_per_s: requests that are completed a second.
        ttft_ms: median time to first token, waiting included. latency_ms: median time of a whole answer, the same.
    """

    throughput_per_s: Any
    ttft_ms: Any
    latency_ms: Any


def closed_loop(ttft_ms: Any, tpot_ms: Any, *, workload: Workload) -> Serving:
    """What `workload.concurrency` clients see that begin together and ask again when they are answered.

    The device runs prefills one at a time, in order of arrival and before decode steps; a decode step takes along
    every request whose prefill is done. So a cycle is N prefills, then the decode steps of all; client i waits for i
    prefills, and every client's answer is complete at the end of the cycle. Little's law (N requests in flight,
    doi:10.1287/opre.9.3.383) ties throughput and latency.

    Args:
        ttft_ms, tpot_ms: one prefill without waiting, one decode step of all requests; floats or arrays.
        workload: concurrency, batch and new tokens.

    Example:
        >>> two = closed_loop(10.0, 1.0, workload=Workload(new_tokens=6, concurrency=2))
        >>> two.ttft_ms, two.latency_ms, two.throughput_per_s
        (15.0, 25.0, 80.0)
    """
    clients, steps = workload.concurrency, max(workload.new_tokens - 1, 0)
    cycle_ms = clients * ttft_ms + steps * tpot_ms
    throughput = 1e3 * workload.batch * clients / cycle_ms
    return Serving(throughput, 0.5 * (clients + 1) * ttft_ms, cycle_ms)
