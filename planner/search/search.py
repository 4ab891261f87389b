"""The search: screen each pass alone, combine by arithmetic, and spend an Optuna study on what remains open."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...common.errors import BadInput
from ...ir.plan import Plan
from ..fidelity.fidelity import Fidelity, bootstrap_mean
from ..fidelity.judge import GiveUp, Judge
from ..studies.study import KEY, SCORE, TTFT, VALUE, VIOLATION, WARM, enqueue, finished, quiet, sampler
from ..studies.workers import beating, requeue, turn
from .decision import Decision
from .front import FrontPoint, pareto
from .narrowing import Narrowed
from .proposal import parameters, proposed
from .screening import Profile, Screen
from .screening import Progress as Progress
from .solver import Solution, Solver
from .warm_start import Clock, WarmStart

if TYPE_CHECKING:
    import optuna

_DECISION, _DROPPED, _LOOKS, _REFUSED = "decision", "dropped", "looks", "refused"
_SAFE_RANK = 3
"""A trial is pruned when a look at part of the samples lies clearly below this many earlier ones."""


@dataclass(frozen=True)
class Evaluated:
    """A solved decision, its measured value (fidelity, or a task's metric), and the score that it is ranked by."""

    solution: Solution
    value: float
    score: float


class Search:
    """Searches one space for the best value within the budgets.

    Args:
        solver: solves decisions against the cost model.
        judge: measures the value of a plan.
        study: from `open_study`. seed: the same seed gives the same trials.
        kind: the sampler, `tpe`, `nsga2` (value and latency at once, for a front) or `random`.
        sensitivity: what earlier searches measured of single passes, see `WarmStart`.
        progress: called with (what, done, total) after every measurement.
        clock: times the passes that the screening likes, see `WarmStart`.
    """

    def __init__(
        self,
        solver: Solver,
        judge: Judge,
        study: optuna.Study,
        *,
        seed: int = 0,
        kind: str = "tpe",
        sensitivity: Profile | None = None,
        progress: Progress | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.judge = judge
        self.study = study
        self.seed = seed
        self.kind = kind
        self.progress = progress
        self.start = WarmStart(solver, judge, study, sensitivity=sensitivity, progress=progress, clock=clock)
        self._known: dict[str, tuple[float, float]] = {}

    def run(self, trials: int, *, warm: bool = True) -> list[Evaluated]:
        """Trials until `trials` have ended, those of earlier runs of the study included; best first.

        Without `warm` nothing is screened or queued: the sampler is on its own.
        """
        with quiet():
            self._recall()
            if warm:
                self._queue(self.first)
            while (done := turn(self.study, trials)) is not None:
                self._recall()
                if warm and self.start.due(done):
                    self._queue(self.start.proposals((item.solution, item.score) for item in self.ranked()))
                self._trial(done)
                if self.progress:
                    self.progress("search", done + 1, trials)
        return self.ranked()

    @property
    def solver(self) -> Solver:
        """Solves decisions, at the measured pace of single passes once they were screened."""
        return self.start.solver

    @property
    def screen(self) -> Screen:
        """Every pass alone on few samples; profiled once for a study."""
        return self.start.screen

    @property
    def first(self) -> list[Decision]:
        """The single passes that are measured on all samples before anything else."""
        return self.start.first

    @property
    def narrowed(self) -> Narrowed | None:
        """The combinations that were proposed last, None before there were any."""
        return self.start.narrowed

    def ranked(self) -> list[Evaluated]:
        """Everything measured that holds its constraints, best first, each set of placements once."""
        found: dict[str, Evaluated] = {}
        for trial in self.study.get_trials(deepcopy=False):
            attributes = trial.user_attrs
            if trial.state.name == "COMPLETE" and attributes.get(VIOLATION, 1.0) <= 0:
                solution = self.solver.solution(Decision.from_data(attributes[_DECISION]), attributes[_DROPPED])
                found.setdefault(attributes[KEY], Evaluated(solution, attributes[VALUE], attributes[SCORE]))
        return sorted(found.values(), key=lambda item: (-item.score, item.solution.prediction.ttft_ms))

    def front(self) -> tuple[FrontPoint, ...]:
        """The Pareto front of predicted latency and value over everything that was measured."""
        trials = [t.user_attrs for t in self.study.get_trials(deepcopy=False) if VALUE in t.user_attrs]
        return pareto(FrontPoint(a[KEY], a[TTFT], a[VALUE]) for a in trials)

    @property
    def ended(self) -> int:
        """Trials that ended: measured, infeasible or pruned."""
        return finished(self.study)

    @property
    def evaluated(self) -> int:
        """Different plans that were measured on all samples."""
        return len(self._known)

    @property
    def _free(self) -> bool:
        """Whether trials may drop more than the budgets ask for: where latency is an objective too."""
        return self.kind == "nsga2"

    def _trial(self, done: int) -> None:
        from optuna.trial import TrialState

        self.study.sampler = sampler(self.seed, done, kind=self.kind)
        trial = self.study.ask()
        try:
            with beating(self.study, trial):
                values = self._objectives(trial)
        except BaseException:
            requeue(self.study, self.study.tell(trial, state=TrialState.FAIL))
            raise
        if values is None:
            self.study.tell(trial, state=TrialState.PRUNED)
        else:
            self.study.tell(trial, values if len(self.study.directions) > 1 else values[0])

    def _objectives(self, trial: optuna.Trial) -> tuple[float, float] | None:
        """The score to maximise and the TTFT to minimise; None where the trial is given up after a look."""
        solution = self._proposed(trial)
        if solution is None or not solution.feasible:
            trial.set_user_attr(VIOLATION, 1.0 if solution is None else solution.violation)
            return 0.0, 1.0
        ttft = self._note(trial, solution)
        try:
            found = self._measured(trial, solution)
        except BadInput as refusal:  # the model cannot take these passes together
            trial.set_user_attr(_REFUSED, str(refusal))
            return 0.0, 1.0
        if found is None:
            return None
        value, score = found
        trial.set_user_attr(VALUE, value)
        trial.set_user_attr(SCORE, score)
        trial.set_user_attr(VIOLATION, solution.violation)
        return score, ttft

    def _proposed(self, trial: optuna.Trial) -> Solution | None:
        """The trial's decision, solved; None where a rule forbids it or nothing reaches the budgets."""
        space = self.solver.space
        decision: Decision | None = proposed(trial, space)
        if decision is None or not space.allowed(decision):
            return None
        decision = self.solver.repaired(decision) if len(decision.steps) > 1 else decision
        if decision is None:
            return None
        least = self.solver.solve(decision)
        if not self._free or not least.feasible:
            return least
        amount = trial.suggest_float("amount", 0.0, 1.0)
        return self.solver.solution(decision, least.dropped + round(amount * (space.tokens - 1 - least.dropped)))

    def _note(self, trial: optuna.Trial, solution: Solution) -> float:
        """Write down what the trial tries; its predicted TTFT as a part of the uncompressed model's."""
        ttft = solution.prediction.ttft_ms / self.solver.baseline.ttft_ms
        trial.set_user_attr(KEY, _key(solution))
        trial.set_user_attr(TTFT, ttft)
        trial.set_user_attr(_DECISION, solution.decision.to_data())
        trial.set_user_attr(_DROPPED, solution.dropped)
        return ttft

    def _measured(self, trial: optuna.Trial, solution: Solution) -> tuple[float, float] | None:
        """(value, score) on all samples, or known from the same placements; None where a look at some is hopeless."""
        key = _key(solution)
        if key not in self._known:
            give_up = None if self._free else self._giving_up(trial)
            found = self.judge.judge(Plan.of(*solution.placements), give_up=give_up)
            if found is None:
                return None
            self._known[key] = found.value, found.score
        return self._known[key]

    def _giving_up(self, trial: optuna.Trial) -> GiveUp:
        """Whether a look is clearly worse than those of several trials before; queued trials always go on."""
        complete = [t.user_attrs for t in self.study.get_trials(deepcopy=False) if t.state.name == "COMPLETE"]
        earlier = [attributes[_LOOKS] for attributes in complete if _LOOKS in attributes]
        warm, scores = bool(trial.user_attrs.get(WARM)), list[float]()

        def give_up(seen: Fidelity) -> bool:
            scores.append(seen.score)
            trial.set_user_attr(_LOOKS, scores)
            trial.report(seen.score, step=len(scores))
            alike = [looks[len(scores) - 1] for looks in earlier if len(looks) >= len(scores)]
            _, high = bootstrap_mean(seen.per_sample, np.ones_like(seen.per_sample))
            return not warm and sum(score > high for score in alike) >= _SAFE_RANK

        return give_up

    def _queue(self, decisions: Iterable[Decision]) -> None:
        chosen = [parameters(decision, self.solver.space) for decision in decisions]
        enqueue(self.study, [{**each, "amount": 0.5} if self._free else each for each in chosen])

    def _recall(self) -> None:
        """Values that earlier runs of the study measured."""
        for trial in self.study.get_trials(deepcopy=False):
            if SCORE in trial.user_attrs:
                self._known[trial.user_attrs[KEY]] = trial.user_attrs[VALUE], trial.user_attrs[SCORE]


def _key(solution: Solution) -> str:
    return " + ".join(f"{p.method}@{p.site} {p.keep!r}" for p in solution.placements)
