"""Does a plan beat every pass alone at equal latency? On a trained testbed or on Whisper, on this machine.

    python benchmarks/planner.py [--testbed image|video|whisper] [--losses 2,5,10,20] [--questions 5000] [--quick]

Budgets are those at which the best single pass loses about so many points on calibration questions; on Whisper a point
is one of 100 words that is transcribed right, less those that are invented. At each of them
the plan, found on calibration samples alone, meets the best single pass, `random`, `pool`, `downsample` and the two
best passes naively combined, all settled on the plan's measured time to first token, on the same held-out questions;
`random`, `pool` and `downsample`, which are far behind, are asked the first 2000 of them.
Finished steps are kept in `--cache`, from which a run that was stopped goes on. Exits 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from _contest import BASELINES, Rival, as_planned, entrants, gains, with_best_single, words_of
from _contest_tasks import TASKS, Size, Task
from _marks import marks
from _matching import SAME_LATENCY, apart, matched
from _table import Goal, finish, parser, show

from foveate.common.errors import BadInput
from foveate.common.files import write_whole
from foveate.common.timing import Interval, fixed_threads
from foveate.cost_models import DeviceProfile, calibrate, load_profile
from foveate.ir.budget import Budget
from foveate.ir.plan import Plan
from foveate.ir.workload import Workload
from foveate.planner import unmet
from foveate.planner.fidelity.batches import batches
from foveate.planner.fidelity.decoding import pad_token
from foveate.planner.fidelity.judge import FidelityJudge, Judge
from foveate.planner.fidelity.samples import CalibrationSample
from foveate.planner.job import Job
from foveate.planner.planning import job_of
from foveate.planner.search.decision import Decision
from foveate.planner.search.screening import Profile
from foveate.planner.studies.study import PACE, PASS_PACE
from foveate.runtime import compare, ratio

ABOVE_FLOOR = (0.5, 0.42, 0.34, 0.27, 0.2, 0.14, 0.08)
"""Budgets that are probed, as parts of the way from the least possible TTFT to the uncompressed one."""

ROUNDS, PREFILLS_MS = (21, 61), 6000.0
"""Least and most rounds of a timing; between them so many that the uncompressed prefills take about six seconds."""

_PROBED = 2

_SHOWN = 12
"""Trials of a search that are shown, the best ones."""


@dataclass
class Bench:
    """What all budgets share; `done` holds the finished steps, kept at `place`."""

    task: Task
    profile: DeviceProfile
    trials: int
    rounds: int | None
    place: Path | None
    passes: tuple[str, ...] | None = None
    done: dict[str, Any] = field(default_factory=dict)
    sensitivity: Profile = field(default_factory=dict)
    judges: dict[int, Judge] = field(default_factory=dict)

    def judge_of(self, samples: Sequence[CalibrationSample]) -> Judge:
        """The judge of some samples, which hears the uncompressed model's answers once for all budgets."""
        if id(samples) not in self.judges:
            self.judges[id(samples)] = FidelityJudge.of(self.task.model, samples, new_tokens=self.task.new_tokens)
        return self.judges[id(samples)]

    def job(self, limit: float) -> Job:
        """The planning job for one TTFT limit; what is measured of single passes is shared by all of them."""
        made = job_of(
            self.task.model,
            workload=self.task.workload,
            budgets=(Budget("ttft", limit, relative=True),),
            profile=self.profile,
            asked=self.task.asked,
            decisive=self.task.decisive,
            passes=self.passes,
        )
        return replace(made, judge_of=self.judge_of, progress=_progress, sensitivity=self.sensitivity)

    def probed(self, plan: Plan) -> float:
        """The right part of the calibration items under `plan`."""
        return marks(self.task.probe, self.task.probe.right(plan)).mean

    @property
    def timing_inputs(self) -> dict[str, Any]:
        """One request, of which plans are timed."""
        size = Workload.parse(self.task.workload).batch
        return batches(self.task.decisive, size=size, pad=pad_token(self.task.model))[0].inputs

    def rounds_of(self, job: Job) -> int:
        """Rounds of one timing."""
        least, most = ROUNDS
        return self.rounds or min(most, max(least, round(PREFILLS_MS / job.solver.baseline.ttft_ms)))

    def step(self, name: str, make: Any) -> Any:
        """The result of a step, from an earlier run where it is there."""
        if name not in self.done:
            self.done[name] = make()
            self.done["sensitivity"] = self.sensitivity
            if self.place is not None:
                write_whole(self.place, json.dumps(self.done))
        return self.done[name]


def main() -> int:
    """Run the benchmark; the exit code says whether its goals were met."""
    options = _options()
    with fixed_threads(options.threads):
        try:
            bench = _bench(options)
        except BadInput as reason:
            print(f"skipped: {reason}")
            return 0
        task = bench.task
        plain = marks(task.first, bench.step("plain", lambda: task.first.right(Plan.of())))
        known = len(task.asked) + len(task.decisive)
        print(f"uncompressed: {_percent(plain.mean)} right of {len(plain.whole)} held-out {task.items}", flush=True)
        print(f"calibrated on {known} other samples", flush=True)
        goals, figures, ahead = [], [], []
        for loss, limit in budgets(bench, options.losses, options.limits):
            rivals = contested(bench, limit)
            found = gains(rivals[0], rivals[1:])
            report(loss, limit, rivals, found)
            goals += goals_of(loss, rivals)
            ahead.append(all(low > 0 for _, low, _ in found))
            figures.append({"loss": loss, "limit": limit, "rivals": [_data(rival) for rival in rivals]})
        wanted = f">= {(len(ahead) + 1) // 2}"
        name, enough = "budgets where the plan is ahead of all beyond noise", 2 * sum(ahead) >= len(ahead)
        goals.append(Goal(name, f"{sum(ahead)} of {len(ahead)}", wanted, enough))
    return finish(goals, json_file=options.json, figures=figures, quick=options.quick)


def budgets(bench: Bench, losses: Sequence[float], known: Sequence[float]) -> list[tuple[float, float]]:
    """(points, TTFT limit) at which the best single pass loses about so many points on calibration questions."""
    if known:
        return list(zip(losses, known, strict=True))
    job = bench.job(0.5)
    floor = unmet.nearest(bench.job(0.01).solver).prediction.ttft_ms / job.solver.baseline.ttft_ms
    limits = [floor + part * (1 - floor) for part in ABOVE_FLOOR][: 2 if bench.passes else None]
    plain = bench.step("probe plain", lambda: bench.probed(Plan.of()))
    best = [bench.step(f"probe {limit:.4f}", partial(best_single, bench, limit)) for limit in limits]
    taken = np.minimum.accumulate([ratio for ratio, _ in best])
    lost = np.maximum.accumulate([100 * (plain - right) for _, right in best])
    rows = [[_percent(limit), f"{points:.1f}"] for limit, points in zip(taken, lost, strict=True)]
    show("Best single pass on calibration questions", ["TTFT", "points lost"], rows)
    reached = [loss for loss in losses if loss <= lost[-1]]
    if not reached:
        return [(float(lost[-1]), float(taken[-1]))]
    return [(loss, float(np.interp(loss, lost, taken))) for loss in reached]


def best_single(bench: Bench, limit: float) -> tuple[float, float]:
    """The best of the few single passes that the screening likes at `limit`: (measured TTFT ratio, accuracy).

    What it is predicted to take may be far from what it takes, so budgets are stated in what was measured.
    """
    job = bench.job(limit)
    search = job.searching(_memory_study(), job.judge_of(job.asked), seed=0)
    able = [s for step in search.screen.ranked() if (s := job.solver.solve(Decision.of(step))).feasible]
    plans = [Plan.of(*solution.placements) for solution in able[:_PROBED]]
    right = [bench.probed(plan) for plan in plans]
    best = plans[int(np.argmax(right))]
    timed = compare(bench.task.model, bench.timing_inputs, {"plain": None, "best": best}, rounds=bench.rounds_of(job))
    return ratio(timed["best"], timed["plain"]).median, max(right)


def contested(bench: Bench, limit: float) -> list[Rival]:
    """The plan for `limit` and its rivals at its latency, with their held-out answers; the plan first."""
    found = bench.step(f"search {limit:.4f}", partial(searched, bench, limit))
    data = bench.step(f"rivals {limit:.4f}", lambda: [_data(rival) for rival in met(bench, limit, found)])
    timed = [Rival(d["name"], Plan.from_yaml(d["plan"]), Interval(*d["ratio"]), d["beside"]) for d in data]
    rivals = [as_planned(timed[0], rival) for rival in timed]
    answered = []
    for rival in rivals:
        exam = bench.task.first if rival.name in BASELINES else bench.task.held_out
        right = bench.step(f"answers {len(exam.whole)} {rival.words}", partial(exam.right, rival.plan))
        answered.append(replace(rival, marks=marks(exam, right)))
        print(f"  {rival.name}: {_percent(answered[-1].score)}", flush=True)
    return answered


def searched(bench: Bench, limit: float) -> dict[str, Any]:
    """The plan for `limit` and the decisions that it has to beat, as plain data; calibration samples only."""
    job = bench.job(limit)
    search = job.search(trials=bench.trials, study=None)
    for what in (PACE, PASS_PACE):
        print(f"  {what} {search.study.user_attrs.get(what)}", file=sys.stderr, flush=True)
    for item in search.ranked()[:_SHOWN]:
        print(f"  {item.score:.4f} {words_of(Plan.of(*item.solution.placements))}", file=sys.stderr, flush=True)
    plan = Plan.of(*job.decide(search).solution.placements)
    return {"plan": plan.to_yaml(), "entrants": {name: made.to_data() for name, made in entrants(search).items()}}


def met(bench: Bench, limit: float, found: dict[str, Any]) -> list[Rival]:
    """What was searched, each rival at the plan's time, and of the single passes the best one."""
    job, model, inputs = bench.job(limit), bench.task.model, bench.timing_inputs
    decisions = {name: Decision.from_data(data) for name, data in found["entrants"].items()}
    plan = Plan.from_yaml(found["plan"])
    rivals = matched(job.solver, plan, decisions, model, inputs, rounds=bench.rounds_of(job))
    return with_best_single(rivals, job.deciding, bench.task.probe)


def report(loss: float, limit: float, rivals: Sequence[Rival], found: Sequence[tuple[float, float, float]]) -> None:
    """Print one budget's table."""
    rows = [[rivals[0].name, rivals[0].words, _percent(rivals[0].ratio.median), _percent(rivals[0].score), ""]]
    for other, (gain, low, high) in zip(rivals[1:], found, strict=True):
        difference = f"{100 * gain:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
        rows.append([other.name, other.words, _percent(other.ratio.median), _percent(other.score), difference])
    columns = ["", "placements", "TTFT", "held out, right", "plan minus this, points"]
    show(f"ttft<={100 * limit:.1f}%, where the best single pass loses about {loss:g} points", columns, rows)


def goals_of(loss: float, rivals: Sequence[Rival]) -> list[Goal]:
    """Matched times, and a plan that nothing beats: the worst of several comparisons, so the intervals hold at once."""
    plan, others = rivals[0], rivals[1:]
    found = gains(plan, others, together=True)
    unequal = apart(rivals)
    least = min(range(len(others)), key=lambda i: found[i][0])
    gain, low, high = found[least]
    shown = f"{100 * gain:+.1f} points [{100 * low:+.1f}, {100 * high:+.1f}]"
    name = f"{loss:g} points"
    wanted = f"<= {_percent(SAME_LATENCY)}"
    best = f"{name}: plan over {others[least].name}, the hardest to match (all rivals at once)"
    return [
        Goal(f"{name}: TTFT of the rivals differs by", _percent(unequal), wanted, unequal <= SAME_LATENCY),
        Goal(best, shown, "not below 0 beyond noise", all(bound >= 0 for _, _, bound in found)),
    ]


def _memory_study() -> Any:
    from foveate.planner.studies.study import open_study

    return open_study(None, question={})


def _bench(options: argparse.Namespace) -> Bench:
    quick = options.quick
    task = TASKS[options.testbed](Size(options.questions, options.samples, quick))
    profile = load_profile(options.profile) if options.profile else calibrate(seconds=10.0 if quick else 40.0)
    done = json.loads(options.cache.read_text()) if options.cache and options.cache.exists() else {}
    return Bench(
        task=task,
        profile=profile,
        trials=14 if quick else options.trials,
        rounds=5 if quick else None,
        place=options.cache,
        passes=task.few if quick else None,
        done=done,
        sensitivity=done.get("sensitivity", {}),
    )


def _options() -> argparse.Namespace:
    made = parser(__doc__ or "")
    made.add_argument("--testbed", choices=sorted(TASKS), default="image")
    made.add_argument("--losses", type=_numbers, default=[2.0, 5.0, 10.0, 20.0])
    made.add_argument(
        "--limits", type=_numbers, default=[], help="their TTFT limits, known from an earlier run's probes"
    )
    made.add_argument("--questions", type=int, help="held-out questions or windows (default: 5000; all)")
    made.add_argument("--samples", type=int, default=160, help="calibration samples of the search (default: 160)")
    made.add_argument("--trials", type=int, default=72, help="trials of each search (default: 72)")
    made.add_argument("--threads", type=int, default=2)
    made.add_argument("--profile", help="device profile (default: calibrate this machine)")
    made.add_argument("--cache", type=Path, help="keep finished steps in this file, and go on from it")
    return made.parse_args()


def _numbers(text: str) -> list[float]:
    return [float(number) for number in text.split(",")]


def _data(rival: Rival) -> dict[str, Any]:
    found = {
        "name": rival.name,
        "plan": rival.plan.to_yaml(),
        "ratio": list(rival.ratio),
        "beside": rival.beside,
    }
    return {**found, "score": rival.score} if rival.marks else found


def _progress(what: str, done: int, total: int) -> None:
    print(f"\r{what} {done}/{total}", end="" if done < total else "\n", file=sys.stderr, flush=True)


def _percent(part: Any) -> str:
    return f"{100 * part:.1f} %"


if __name__ == "__main__":
    sys.exit(main())
