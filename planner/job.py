"""One planning job: search on some samples, decide between the finalists on others."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..ir.budget import Budget
from ..ir.plan import Plan
from . import unmet
from .choosing import Choice, best_choice
from .fidelity.batches import batches
from .fidelity.decoding import on_device, pad_token
from .fidelity.fidelity import Fidelity, FloatArray
from .fidelity.judge import Judge
from .fidelity.samples import CalibrationSample
from .pace import pace, paced, pass_paced, slowdown
from .pass_pace import pass_pace
from .racing import Race
from .search.decision import NOTHING, Decision, Step
from .search.inverse import drop_most, fastest_alone
from .search.screening import Profile
from .search.search import Progress, Search
from .search.solver import Solution, Solver
from .search.warm_start import Clock
from .settling import SLACK, settle
from .studies.identity import samples_identity, weights_identity
from .studies.study import AIM, PACE, PASS_PACE, TRIALS, open_study
from .verify import Finalist, finalists, measured_part, predicted

if TYPE_CHECKING:
    import optuna
    import torch

_FINALISTS, _SAMPLES_EACH = (3, 12), 25
"""Least and most finalists; between them one for so many held-out samples, since few cannot tell more apart."""

_FLOOR_CORRECTIONS = 3
"""How often the inverse goal is sought again after held-out samples showed it missed."""


@dataclass(frozen=True)
class Job:
    """What every step of the planning needs.

    Attributes:
        asked: samples of the search. decisive: samples that decide between finalists, and whose inputs are timed.
        judge_of: makes the judge for some samples. measure: time the finalists on `model`.
        nearest: settle for the nearest plan where nothing holds. sampler: of the study.
        judged_by: what the judge's values are: `fidelity`, or a metric's name.
        sensitivity: what other jobs measured of single passes on this model and these samples, reused and added to.
    """

    model: Any
    solver: Solver
    budgets: tuple[Budget, ...]
    asked: Sequence[CalibrationSample]
    decisive: Sequence[CalibrationSample]
    judge_of: Callable[[Sequence[CalibrationSample]], Judge]
    seed: int = 0
    progress: Progress | None = None
    measure: bool = True
    nearest: bool = False
    sampler: str = "tpe"
    judged_by: str = "fidelity"
    sensitivity: Profile = field(default_factory=dict)

    @property
    def floor(self) -> float | None:
        """The fidelity that must be reached, None where the budgets ask for none."""
        return max((b.limit for b in self.budgets if b.figure == "fidelity"), default=None)

    def unreachable(self) -> Solution | None:
        """The nearest plan where no plan holds the budgets by prediction, None where one does.

        Raises:
            BudgetNotMet: none does, and the nearest will not do.
        """
        if self.solver.solve(NOTHING).feasible:
            return None
        closest = unmet.nearest(self.solver)
        if not closest.feasible and not self.nearest:
            raise unmet.budget_not_met(self.solver, closest)
        return None if closest.feasible else closest

    def search(self, *, trials: int, study: str | None) -> Search:
        """The search, run to `trials` ended trials; at least one for each single pass that it starts with.

        With a floor it looks for the best value at the TTFT that the fastest single pass has there; where none that
        saves time reaches the floor, nothing is tried.
        """
        self._say("reference", 0, 1)
        judge, _ = self.judge_of(self.asked), self.deciding  # a held-out sample is refused before any is timed
        self._say("reference", 1, 1)
        kept = open_study(study, question=self.question(), kind=self.sampler)
        aim = None if self.floor is None else self._aim(kept, judge, self.floor)
        job = self._aimed(aim)
        search = job.searching(kept, judge, seed=self.seed, solver=job._paced(kept))
        hopeless = self.floor is not None and aim is None
        total = 0 if hopeless else max(trials, len(search.first))
        kept.set_user_attr(TRIALS, total)
        if not hopeless:
            search.run(total)
        return search

    def _aim(self, study: optuna.Study, judge: Judge, floor: float) -> float | None:
        """The TTFT, as a part of the uncompressed model's, at which the fastest single pass reaches `floor`; None where
        none that saves time does. All workers of a study share one aim."""
        if AIM not in study.user_attrs:
            self._say("aim", 0, 1)
            first = self.searching(study, judge, seed=self.seed, solver=self._paced(study))
            found = fastest_alone(first.solver, first.screen, judge, floor)
            part = None if found is None else self._part(found)
            study.set_user_attr(AIM, part if part is not None and part < 1 else None)
            self._say("aim", 1, 1)
        aim: float | None = study.user_attrs[AIM]
        return aim

    def _part(self, solution: Solution) -> float:
        """The TTFT of a solution as a part of the uncompressed model's, measured where that may be."""
        if self.measure:
            return measured_part(self.solver, solution, self.model, self._timing_inputs())
        return solution.prediction.ttft_ms / self.solver.baseline.ttft_ms

    def _aimed(self, aim: float | None) -> Job:
        """This job, its TTFT limited to `aim` where there is one."""
        if aim is None:
            return self
        limit = Budget("ttft", aim, relative=True)
        return replace(self, solver=self.solver.within([*self.solver.budgets, limit]))

    def _paced(self, study: optuna.Study) -> Solver:
        """The solver of the search, its limits moved by what the clock says; all workers of a study share one pace."""
        if not self.measure:
            return self.solver
        if PACE not in study.user_attrs:
            self._say("pace", 0, 1)
            study.set_user_attr(PACE, pace(self.solver, self.model, self._timing_inputs()))
            self._say("pace", 1, 1)
        return paced(self.solver, study.user_attrs[PACE])

    def searching(self, study: optuna.Study, judge: Judge, *, seed: int, solver: Solver | None = None) -> Search:
        """A search of this job's space in `study`, by its own solver or one whose limits the clock has moved."""
        return Search(
            solver or self.solver,
            judge,
            study,
            seed=seed,
            kind=self.sampler,
            sensitivity=self.sensitivity,
            progress=self.progress,
            clock=self._clock(study) if self.measure else None,
        )

    def joining(self, study: optuna.Study, judge: Judge, *, seed: int) -> Search:
        """A search in a study that another worker has begun, at the paces which that one has measured."""
        known = study.user_attrs
        job = self._aimed(known.get(AIM))
        solver = paced(job.solver, known.get(PACE, {}))
        if PASS_PACE in known:
            solver = pass_paced(job.solver, known[PASS_PACE], otherwise=solver)
        return job.searching(study, judge, seed=seed, solver=solver)

    def _clock(self, study: optuna.Study) -> Clock:
        def clock(solver: Solver, steps: Callable[[], Sequence[Step]]) -> Solver:
            if PASS_PACE not in study.user_attrs:
                self._say("pace of passes", 0, 1)
                study.set_user_attr(PASS_PACE, self._pass_pace(study.user_attrs.get(PACE, {}), steps()))
                self._say("pace of passes", 1, 1)
            # The factors are of the budgets themselves: limits that were moved for a usual plan would count it twice.
            return pass_paced(self.solver, study.user_attrs[PASS_PACE], otherwise=solver)

        return clock

    def _pass_pace(self, usual: Mapping[str, float], steps: Sequence[Step]) -> dict[str, float]:
        start = slowdown(self.solver, usual) or 1.0
        return pass_pace(self.solver, steps, self.model, self._timing_inputs(), start=start)

    @cached_property
    def deciding(self) -> Judge:
        """The judge of held-out samples, which has heard the uncompressed model's answers once."""
        return self.judge_of(self.decisive)

    def decide(self, search: Search) -> Choice:
        """The finalist of best score on held-out samples that holds the budgets; with a floor, the fastest above it.

        Raises:
            BudgetNotMet: none does when measured, and the nearest will not do.
        """
        if self.floor is not None:
            return self._least_latency(search, self.deciding, self.floor)
        least, most = _FINALISTS
        best = min(most, max(least, len(self.decisive) // _SAMPLES_EACH))
        chosen = finalists(search.ranked(), best=best, singles=min(4, best)) or [self._last_resort()]
        solutions = [self.solver.solve(decision) for decision in chosen]
        choices = self._judged(solutions, Race(self.deciding).run)
        return best_choice(choices, self._searched(search.judge, choices))

    def _last_resort(self) -> Decision:
        """What is left where no trial held the budgets."""
        return NOTHING if self.solver.solve(NOTHING).feasible else unmet.nearest(self.solver).decision

    def _searched(self, judge: Judge, choices: Sequence[Choice]) -> dict[Decision, FloatArray]:
        """The value of each choice, its counts settled, on each of the search's samples."""
        values = ((c.solution.decision, judge.judge(Plan.of(*c.solution.placements))) for c in choices)
        return {decision: value.per_sample for decision, value in values if value is not None}

    def settle_for(self, closest: Solution) -> Choice:
        """The nearest plan, timed and judged like any other."""
        return self._judged([closest], self.deciding.judge, holding=False)[0]

    def _least_latency(self, search: Search, judge: Judge, floor: float) -> Choice:
        """The inverse goal; a floor that held-out samples show missed is sought again that much higher.

        Compressing nothing is the last resort, which reaches every floor where the other budgets allow it.
        """
        candidates = finalists(search.ranked(), best=_FINALISTS[0], singles=_FINALISTS[0])
        aim, seen = floor, list[Choice]()
        for _ in range(_FLOOR_CORRECTIONS):
            dropped = [drop_most(self.solver, candidate, search.judge, aim) for candidate in candidates]
            choices = self._judged([solution for solution in dropped if solution is not None], judge.judge)
            reaching = [choice for choice in choices if choice.fidelity.value >= floor]
            if reaching:
                return min(reaching, key=lambda choice: choice.ttft_ms)
            seen += choices
            aim += floor - max((c.fidelity.value for c in choices), default=floor)
        untouched = self.solver.solve(NOTHING)
        if untouched.feasible:
            (plain,) = self._judged([untouched], judge.judge)
            if plain.fidelity.value >= floor:
                return plain
            seen.append(plain)  # a task's metric, which the uncompressed model may miss too
        best = best_choice(seen) if seen else None
        if best is None or not self.nearest:
            raise unmet.fidelity_not_met(floor, best.fidelity.value if best else 0.0, best.solution if best else None)
        return best

    def _judged(
        self, solutions: Sequence[Solution], value_of: Callable[[Plan], Fidelity | None], *, holding: bool = True
    ) -> list[Choice]:
        """The solutions timed; those that hold (all where `holding` is false) and have a value, with it.

        Raises:
            BudgetNotMet: none holds when measured, and the nearest will not do.
        """
        timed = self._timed(solutions)
        kept = [item for item in timed if item.holds or not holding]
        if timed and not kept:
            closest = min(timed, key=lambda item: item.excess)
            if not self.nearest:
                raise unmet.measured_not_met(closest.solution, closest.excess)
            kept = [closest]
        choices = []
        for done, item in enumerate(kept):
            self._say("held out", done, len(kept))
            value = value_of(Plan.of(*item.solution.placements))
            choices += [] if value is None else [Choice(item, value)]
        self._say("held out", len(kept), len(kept))
        return choices

    def _timed(self, solutions: Sequence[Solution]) -> list[Finalist]:
        if not self.measure or not solutions:
            return predicted(self.solver, solutions)
        self._say("measure", 0, 1)
        slack = SLACK if self.floor is None else math.inf  # a floor wants the least time, not all of the budget
        found = settle(self.solver, solutions, self.model, self._timing_inputs(), slack=slack)
        self._say("measure", 1, 1)
        return found

    def _timing_inputs(self) -> dict[str, torch.Tensor]:
        """One batch of the workload's size, from held-out samples of one shape."""
        size = self.solver.space.graph.workload.batch
        repeated = [self.decisive[0]] * size if len(self.decisive) < size else self.decisive
        inputs = batches(repeated, size=size, pad=pad_token(self.model))[0].inputs
        return on_device(self.model, inputs)

    def question(self) -> dict[str, Any]:
        """What a study of this job searches for; a study of another question is refused."""
        space = self.solver.space
        return {
            "model": space.graph.fingerprint,
            "workload": str(space.graph.workload),
            "budget": [str(budget) for budget in self.budgets],
            "passes": list(space.methods),
            "sampler": self.sampler,
            "samples": samples_identity(self.asked),
            "weights": weights_identity(self.model),
            "judged_by": self.judged_by,
            "seed": self.seed,
            "measured": self.measure,
            "baseline_ms": round(self.solver.baseline.ttft_ms, 6),
        }

    def _say(self, what: str, done: int, total: int) -> None:
        if self.progress:
            self.progress(what, done, total)
