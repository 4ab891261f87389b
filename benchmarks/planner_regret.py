"""How far is the search from the best of everything? On a reduced space of the image testbed, tried out completely.

    python benchmarks/planner_regret.py [--limit 0.4] [--samples 32] [--seeds 3] [--cache FILE] [--quick] [--json FILE]

Every pass of a small set alone, and every pair of one at the projector's output with one inside the decoder at several
shares, is solved to one budget and measured. The planner's search then gets a tenth of those evaluations, and so do its
bare sampler (TPE) and random search. Evaluations are kept in `--cache`. Exits 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from _heldout import WORKLOADS, drawn
from _table import Goal, finish, parser, show

import foveate
from foveate.common.files import write_whole
from foveate.common.timing import fixed_threads
from foveate.cost_models import CostModel, load_profile
from foveate.ir.budget import Budget
from foveate.ir.plan import Plan
from foveate.planner.fidelity.fidelity import Fidelity, Reference, tally
from foveate.planner.fidelity.judge import GiveUp
from foveate.planner.fidelity.samples import from_testbed
from foveate.planner.search.batch_solver import least_dropped
from foveate.planner.search.decision import Decision, Step
from foveate.planner.search.search import Search
from foveate.planner.search.solver import Solution, Solver
from foveate.planner.search.space import Space
from foveate.planner.studies.study import open_study
from foveate.testbed import load

EARLY = ("divprune", "fastervlm", "pool", "random", "uniform", "visionzip")
LATE = ("divprune", "fastv", "pyramiddrop", "sparsevlm")
SHARES = tuple(round(0.06 * k, 2) for k in range(1, 17))
MOST_REGRET, PART, LEAST = 0.01, 0.1, 500
_SAVED_EVERY = 20


@dataclass
class KeptJudge:
    """Fidelity on all samples, never measured twice; `asked` counts the different plans of one search."""

    model: Any
    reference: Reference
    place: Path | None
    known: dict[str, float] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)

    @property
    def samples(self) -> int:
        """How many samples it judges on."""
        return self.reference.samples

    def judge(self, plan: Plan, *, give_up: GiveUp | None = None) -> Fidelity | None:
        """The plan's value; it never gives up early, so that every evaluation counts as a whole one."""
        key = " + ".join(f"{p.method}@{p.site} {p.keep!r}" for p in plan.placements)
        self.asked.add(key)
        if key not in self.known:
            self.known[key] = tally(self.model, plan, self.reference).fidelity().value
            if len(self.known) % _SAVED_EVERY == 0:
                self.save()
        value = self.known[key]
        return Fidelity(value, (value, value), None, np.full(self.samples, value))

    def save(self) -> None:
        """Keep what is known."""
        if self.place is not None:
            write_whole(self.place, json.dumps(self.known))


def main() -> int:
    """Run the benchmark; the exit code says whether its goals were met."""
    options = _options()
    with fixed_threads(options.threads):
        solver, judge = _setting(options)
        everything = combinations(solver)[: 40 if options.quick else None]
        best, at = exhaustive(judge, everything)
        allowed = int(PART * len(everything))
        found = {name: searches(solver, judge, name, allowed, options.seeds) for name in ("planner", "tpe", "random")}
        judge.save()
    regrets = {name: [1 - value / best for value in values] for name, values in found.items()}
    rows = [[name, f"{np.median(r):+.4f}", f"{max(r):+.4f}", len(r)] for name, r in regrets.items()]
    show(f"Regret with {allowed} of {len(everything)} evaluations", ["search", "median", "worst", "seeds"], rows)
    worst = max(regrets["planner"])
    goals = [
        Goal("combinations tried out", f"{len(everything)}", f">= {LEAST}", len(everything) >= LEAST),
        Goal("best of all", f"{best:.4f}", str(at.decision)),
        Goal("worst regret of the search", f"{worst:+.4f}", f"<= {MOST_REGRET}", worst <= MOST_REGRET),
        Goal(
            "median regret of TPE less that of random",
            f"{np.median(regrets['tpe']) - np.median(regrets['random']):+.4f}",
        ),
    ]
    figures = {"best": best, "decision": at.decision.to_data(), "evaluations": allowed, "regrets": regrets}
    return finish(goals, json_file=options.json, figures=figures, quick=options.quick)


def combinations(solver: Solver) -> list[Solution]:
    """Every single step and every pair at every share that can meet the budget and that no rule forbids."""
    steps = solver.space.steps
    early = [step for step in steps if step.kind == "projector.output"]
    late = [step for step in steps if step.kind == "decoder.layer"]
    decisions = [Decision.of(step) for step in steps]
    decisions += [Decision.of(a, b, shares=(share, 1 - share)) for a in early for b in late for share in SHARES]
    counts = least_dropped(solver, [decision for decision in decisions if solver.space.allowed(decision)])
    return [solver.solution(decision, dropped) for decision, dropped in counts.items()]


def exhaustive(judge: KeptJudge, solutions: list[Solution]) -> tuple[float, Solution]:
    """The best value of all, and where it is."""
    values = []
    for done, solution in enumerate(solutions, start=1):
        found = judge.judge(Plan.of(*solution.placements))
        values.append(0.0 if found is None else found.value)
        print(f"\rexhaustive {done}/{len(solutions)}", end="", file=sys.stderr, flush=True)
    judge.save()
    best = int(np.argmax(values))
    return values[best], solutions[best]


def searches(solver: Solver, judge: KeptJudge, name: str, allowed: int, seeds: int) -> list[float]:
    """The best value that each seed's search finds with `allowed` evaluations, its screening included."""
    return [search(solver, judge, name, allowed, seed) for seed in range(seeds)]


def search(solver: Solver, judge: KeptJudge, name: str, allowed: int, seed: int) -> float:
    """One search: the planner's own, screened and warm, or its bare sampler."""
    judge.asked = set()
    kind = "random" if name == "random" else "tpe"
    running = Search(solver, judge, open_study(None, question={}, kind=kind), seed=seed, kind=kind)
    best, ended = 0.0, 0
    while len(judge.asked) < allowed and ended < 20 * allowed:
        ended += 1
        ranked = running.run(ended, warm=name == "planner")
        best = ranked[0].value if ranked else best
    print(f"\n{name} seed {seed}: {best:.4f} with {len(judge.asked)} evaluations", file=sys.stderr, flush=True)
    return best


def _setting(options: argparse.Namespace) -> tuple[Solver, KeptJudge]:
    model, processor = load("image")
    graph = foveate.trace(model, WORKLOADS["image"])
    budget = Budget("ttft", options.limit, relative=True)
    solver = Solver(reduced(graph), CostModel(load_profile(options.profile)), [budget])
    samples = from_testbed(drawn("image", "calibration", 8 if options.quick else options.samples), processor)
    reference = Reference.of(model, samples, new_tokens=5, batch_size=8)
    known = json.loads(options.cache.read_text()) if options.cache and options.cache.exists() else {}
    return solver, KeptJudge(model, reference, options.cache, known)


def reduced(graph: Any) -> Space:
    """One place before the decoder and four inside it, no schedules."""
    whole = Space.of(graph, sorted({*EARLY, *LATE}))
    layers = {f"decoder.layers.{k}" for k in range(1, 5)}

    def kept(step: Step) -> bool:
        if len(step.places) > 1:
            return False
        place = step.places[0]
        return (place == "projector.output" and step.method in EARLY) or (place in layers and step.method in LATE)

    options = {name: tuple(step for step in steps if kept(step)) for name, steps in whole.options.items()}
    return replace(whole, options={name: steps for name, steps in options.items() if steps})


def _options() -> argparse.Namespace:
    made = parser(__doc__ or "")
    made.add_argument("--limit", type=float, default=0.4, help="TTFT limit as a part of the uncompressed model's")
    made.add_argument("--samples", type=int, default=32)
    made.add_argument("--seeds", type=int, default=3)
    made.add_argument("--threads", type=int, default=2)
    made.add_argument("--profile", default="generic-cpu")
    made.add_argument("--cache", type=Path, help="keep evaluations in this file, and go on from it")
    return made.parse_args()


if __name__ == "__main__":
    sys.exit(main())
