"""How long tracing takes and how much memory it holds, after imports: a 7B preset under 1 s, a 72B one under 2 s.

Run it as `python benchmarks/trace.py`. Exits 1 where a goal is missed. Seconds are medians over fresh traces; the
processor seconds beside them do not depend on what else the machine runs.
"""

from __future__ import annotations

import resource
import statistics
import sys
import time

from foveate.ir.sources import load_config
from foveate.ir.tracing import trace

GOALS = {"llava-1.5-7b": 1.0, "qwen2.5-vl-7b": 1.0, "qwen2.5-vl-72b": 2.0}
"""Most seconds of one trace, by preset."""
RESIDENT_GIB = 2.0
REPEATS = 3


def seconds(name: str) -> tuple[float, float]:
    """(wall, processor) seconds of a trace, medians of a few after one that fills the caches of torch."""
    trace(load_config(name))
    walls, cpus = [], []
    for _ in range(REPEATS):
        wall, cpu = time.perf_counter(), time.process_time()
        trace(load_config(name))
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return statistics.median(walls), statistics.median(cpus)


def resident_gib() -> float:
    """The most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> int:
    """Print one line a preset and return the exit code."""
    missed = 0
    for name, goal in GOALS.items():
        wall, cpu = seconds(name)
        missed += wall > goal
        print(f"{name:>16}: {wall:.2f} s ({cpu:.2f} s of processor time), goal {goal:.0f} s")
    held = resident_gib()
    missed += held > RESIDENT_GIB
    print(f"{'resident':>16}: {held:.2f} GiB, goal {RESIDENT_GIB:.0f} GiB")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
