"""Does the gate tell a regression from noise on a machine that is busy with something else?

    python benchmarks/gate.py [--limit 5] [--simulated 2000] [--real 200] [--recorded 4000] [--quick] [--json FILE]

Beside a process that never sleeps, an operation of about 5 ms is timed against itself, and against itself with 10 %
more work. Pinned to one core, as by `taskset -c 1`, the two share it: what the scheduler then takes away in whole
slices is added to both sides, so that 10 % more work takes fewer per cent more time. The limit on regressions is that
of `foveate check` unless another is given. Half of the checks have the regression, half have none.

Simulated checks take their rounds from a recording of such noise, a stretch of it from a random start, with the
regression multiplied in; real checks time the operation anew. All of them decide as `foveate check` does, by
`planner.gate_looks` and `planner.gate_timing`. Exits 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from _table import Goal, finish, parser, show

from foveate.common.timing import FloatArray, fixed_threads, interleave
from foveate.planner.gating.looks import Looks, until_decided
from foveate.planner.gating.timing import Regression, Times, judge_regression

PLANTED = 0.10
MOST_FALSE, LEAST_CAUGHT, MOST_UNDECIDED = 0.02, 0.95, 0.10
KINDS = "no regression", "10 % planted"
WORK = 0.005
_PARTS = 20
Draw = Callable[[int], tuple[FloatArray, FloatArray]]


@dataclass
class Checks:
    """The verdicts of many checks of one kind, and the rounds that they took; `limit` is 0.05 where 5 % are allowed."""

    name: str
    limit: float
    verdicts: Counter[str] = field(default_factory=Counter)
    rounds: list[int] = field(default_factory=list)

    def add(self, draw: Draw) -> None:
        """One check, whose rounds `draw` gives: (rounds,) s of the candidate and of the baseline."""
        taken: list[tuple[FloatArray, FloatArray]] = []

        def judge(confidence: float) -> list[Any]:
            value, base = (_times(np.concatenate([pair[side] for pair in taken])) for side in (0, 1))
            return [judge_regression(Regression("ttft", self.limit), value, base, new_tokens=0, confidence=confidence)]

        found = until_decided(lambda rounds: taken.append(draw(rounds)), judge, Looks())
        self.verdicts[found[0].verdict] += 1
        self.rounds.append(sum(len(pair[0]) for pair in taken))

    def rate(self, verdict: str) -> float:
        """The part of the checks that ended with `verdict`."""
        return self.verdicts[verdict] / max(1, self.verdicts.total())

    def row(self) -> list[object]:
        """One row of the table."""
        rates = [f"{100 * self.rate(verdict):.1f} %" for verdict in ("held", "broken", "undecided")]
        return [self.name, self.verdicts.total(), *rates, int(np.median(self.rounds)), max(self.rounds)]


def main() -> int:
    """Run the benchmark; the exit code says whether its goals were met."""
    options = _options()
    limit = options.limit / 100
    with fixed_threads(1), busy_loop():
        plain, slower = operation(_PARTS), operation(round(_PARTS * (1 + PLANTED)))
        noise = interleave({"first": plain, "second": plain}, rounds=options.recorded, warmup=5)
        _progress(f"recorded {options.recorded} rounds")
        real = [Checks(f"real, {kind}", limit) for kind in KINDS]
        for number in range(options.real // 2):
            for checks, candidate in zip(real, (plain, slower), strict=True):
                checks.add(timing(candidate, plain))
            if number % 20 == 19:
                _progress(f"{2 * (number + 1)} of {options.real} real checks")
    simulated = [Checks(f"simulated, {kind}", limit) for kind in KINDS]
    random = np.random.default_rng(0)
    for checks, factor in zip(simulated, (1.0, 1 + PLANTED), strict=True):
        for _ in range(options.simulated // 2):
            checks.add(replay(noise, random, factor))
        _progress(f"{options.simulated // 2} checks: {checks.name}")
    return report([*simulated, *real], noise, options)


def report(found: list[Checks], noise: dict[str, FloatArray], options: argparse.Namespace) -> int:
    """Print the noise, one row a kind of check, and the goals."""
    quantiles = (0.05, 0.25, 0.5, 0.75, 0.95)
    cells = [[name, *(f"{1e3 * q:.2f}" for q in np.quantile(taken, quantiles))] for name, taken in noise.items()]
    show("Recorded noise, ms", ["the same operation", *(f"{100 * q:.0f} %" for q in quantiles)], cells)
    columns = ["checks", "n", "held", "broken", "undecided", "median rounds", "most rounds"]
    show(
        f"Verdicts of the gate beside a busy loop, {options.limit:g} % allowed",
        columns,
        [checks.row() for checks in found],
    )
    goals = [goal for clean, planted in (found[:2], found[2:]) for goal in _goals(clean, planted)]
    figures = {checks.name: dict(checks.verdicts) for checks in found}
    return finish(goals, json_file=options.json, figures=figures, quick=options.quick)


def _goals(clean: Checks, planted: Checks) -> list[Goal]:
    kind = clean.name.split(",")[0]
    false, caught = clean.rate("broken"), planted.rate("broken")
    undecided = max(clean.rate("undecided"), planted.rate("undecided"))
    return [
        Goal(f"{kind}: false failures", _percent(false), f"<= {_percent(MOST_FALSE)}", false <= MOST_FALSE),
        Goal(f"{kind}: 10 % caught", _percent(caught), f">= {_percent(LEAST_CAUGHT)}", caught >= LEAST_CAUGHT),
        Goal(f"{kind}: undecided", _percent(undecided), f"<= {_percent(MOST_UNDECIDED)}", undecided <= MOST_UNDECIDED),
    ]


def operation(parts: int) -> Callable[[], object]:
    """Matrix products, `parts` of them alike; `_PARTS` of them take about 5 ms on a free core."""
    size = _size()
    matrix = torch.randn(size, size, generator=torch.Generator().manual_seed(0)) / size**0.5
    start = torch.ones(size, 64)

    def run() -> torch.Tensor:
        state = start
        for _ in range(parts):
            state = matrix @ state
        return state

    return run


def _size() -> int:
    """The width at which `_PARTS` products take about `WORK` seconds here, by the fastest of a few tries."""
    if not _SIZES:
        size = 256
        while _fastest(size) * _PARTS < WORK and size < 4096:
            size += 64
        _SIZES.append(size)
    return _SIZES[0]


_SIZES: list[int] = []


def _fastest(size: int) -> float:
    matrix, state = torch.randn(size, size), torch.ones(size, 64)
    return float(interleave({"product": lambda: matrix @ state}, rounds=31, warmup=3)["product"].min())


def timing(candidate: Callable[[], object], baseline: Callable[[], object]) -> Draw:
    """Rounds timed now."""

    def draw(rounds: int) -> tuple[FloatArray, FloatArray]:
        taken = interleave({"candidate": candidate, "baseline": baseline}, rounds=rounds)
        return taken["candidate"], taken["baseline"]

    return draw


def replay(noise: dict[str, FloatArray], random: np.random.Generator, factor: float) -> Draw:
    """Rounds from a stretch of the recording, either side as the candidate, which takes `factor` times as long."""
    sides = [noise["first"], noise["second"]]
    place = int(random.integers(len(sides[0])))
    candidate, baseline = sides[:: random.choice((1, -1))]

    def draw(rounds: int) -> tuple[FloatArray, FloatArray]:
        nonlocal place
        where = (place + np.arange(rounds)) % len(candidate)
        place += rounds
        return candidate[where] * factor, baseline[where]

    return draw


@contextmanager
def busy_loop() -> Iterator[None]:
    """A process that takes all of one core, and shares it where there is no other."""
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        busy.kill()
        busy.wait()


def _times(seconds: FloatArray) -> Times:
    return Times(1e3 * seconds, np.empty(0), 0)


def _percent(part: float) -> str:
    return f"{100 * part:.1f} %"


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    made = parser(__doc__ or "")
    made.add_argument("--limit", type=float, default=5, help="per cent by which an operation may be slower")
    made.add_argument("--simulated", type=int, default=2000, help="simulated checks, half of them with the regression")
    made.add_argument("--real", type=int, default=200, help="real checks, half of them with the regression")
    made.add_argument("--recorded", type=int, default=4000, help="rounds of recorded noise")
    options = made.parse_args()
    if options.quick:
        options.simulated, options.real, options.recorded = 40, 4, 300
    return options


if __name__ == "__main__":
    sys.exit(main())
