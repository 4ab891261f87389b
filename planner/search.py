"""The search: an Optuna study over pass, layer and share; how much to drop is solved for each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..ir.plan import Plan
from .fidelity import Fidelity
from .judge import GiveUp, Judge
from .solver import Solution, Solver
from .space import Decision
from .study import KEY, VALUE, VIOLATION, WARM, enqueue, finished, quiet, sampler
from .warm_start import Spot, analytic_spot, placed_at, promising_pairs, queue

if TYPE_CHECKING:
    import optuna

Progress = Callable[[str, int, int], None]

_NONE = "none"
_DECISION, _DROPPED, _GLANCE = "decision", "dropped", "glance"
_SAFE_RANK = 3
"""A trial is pruned when its first glance lies clearly below this many earlier ones."""


@dataclass(frozen=True)
class Evaluated:
    """A solved decision and its measured value (fidelity, or a task's metric)."""

    solution: Solution
    value: float


class Search:
    """Searches one space for the best value within the budgets.

    Args:
        solver: solves decisions against the cost model.
        judge: measures the value of a plan.
        study: from `open_study`. seed: the same seed gives the same trials.
        floor: the least value that a plan must have (`fidelity>=`). The goal is then the lowest predicted TTFT.
        progress: called with (what, done, total) after every trial.
    """

    def __init__(
        self,
        solver: Solver,
        judge: Judge,
        study: optuna.Study,
        *,
        seed: int = 0,
        floor: float | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.solver = solver
        self.judge = judge
        self.study = study
        self.seed = seed
        self.floor = floor
        self.progress = progress
        self.singles = tuple(solver.space.singles())
        self._values: dict[str, float] = {}

    def run(self, trials: int) -> list[Evaluated]:
        """Trials until `trials` have ended, those of earlier runs of the study included; best first."""
        with quiet():
            self._recall()
            enqueue(self.study, [self._parameters(decision) for decision in self.singles])
            while (done := finished(self.study)) < trials:
                if done == len(self.singles):
                    self._queue_pairs()
                self._trial(done)
                if self.progress:
                    self.progress("search", done + 1, trials)
        return self.ranked()

    def ranked(self) -> list[Evaluated]:
        """Everything measured that holds its constraints, best first, each set of placements once."""
        found: dict[str, Evaluated] = {}
        for trial in self.study.get_trials(deepcopy=False):
            attributes = trial.user_attrs
            if trial.state.name == "COMPLETE" and attributes.get(VIOLATION, 1.0) <= 0:
                solution = self.solver.solution(Decision(**attributes[_DECISION]), attributes[_DROPPED])
                found.setdefault(attributes[KEY], Evaluated(solution, attributes[VALUE]))
        return sorted(found.values(), key=self._rank)

    @property
    def ended(self) -> int:
        """Trials that ended: measured, infeasible or pruned."""
        return finished(self.study)

    @property
    def evaluated(self) -> int:
        """Different plans that were measured on all samples."""
        return len(self._values)

    def _rank(self, item: Evaluated) -> tuple[float, float]:
        ttft = item.solution.prediction.ttft_ms
        return (-item.value, ttft) if self.floor is None else (ttft, -item.value)

    def _trial(self, done: int) -> None:
        from optuna.trial import TrialState

        self.study.sampler = sampler(self.seed, done)
        trial = self.study.ask()
        try:
            value = self._objective(trial)
        except BaseException:
            self.study.tell(trial, state=TrialState.FAIL)
            self.study.enqueue_trial(trial.params, user_attrs={WARM: bool(trial.user_attrs.get(WARM))})
            raise
        if value is None:
            self.study.tell(trial, state=TrialState.PRUNED)
        else:
            self.study.tell(trial, value)

    def _objective(self, trial: optuna.Trial) -> float | None:
        """The value to maximise, None where the trial is given up after a first glance."""
        solution = self._proposed(trial)
        if solution is None or not solution.feasible:
            trial.set_user_attr(VIOLATION, 1.0 if solution is None else solution.violation)
            return 0.0 if self.floor is None else -10.0
        self._note(trial, solution)
        value = self._value(trial, solution)
        if value is None:
            return None
        trial.set_user_attr(VALUE, value)
        trial.set_user_attr(VIOLATION, solution.violation if self.floor is None else self.floor - value)
        return value if self.floor is None else -solution.prediction.ttft_ms / self.solver.baseline.ttft_ms

    def _proposed(self, trial: optuna.Trial) -> Solution | None:
        """The trial's decision, solved; None where a rule forbids it or no share reaches the budgets."""
        space = self.solver.space
        first = _name(trial.suggest_categorical("first", (_NONE, *space.first)))
        second = _name(trial.suggest_categorical("second", (_NONE, *space.second)))
        decision: Decision | None = Decision(first)
        if second is not None:
            layer = trial.suggest_int("layer", space.layers[0], space.layers[-1])
            decision = Decision(None, second, layer, 0.0)
            if first is not None:
                share = trial.suggest_float("share", 0.05, 0.95)
                decision = placed_at(self.solver, first, second, Spot(layer, share))
        if decision is None or not space.allowed(decision):
            return None
        least = self.solver.solve(decision)
        if self.floor is None or not least.feasible:
            return least
        amount = trial.suggest_float("amount", 0.0, 1.0)
        return self.solver.solution(decision, least.dropped + round(amount * (space.tokens - 1 - least.dropped)))

    def _note(self, trial: optuna.Trial, solution: Solution) -> None:
        trial.set_user_attr(KEY, _key(solution))
        trial.set_user_attr(_DECISION, vars(solution.decision))
        trial.set_user_attr(_DROPPED, solution.dropped)

    def _value(self, trial: optuna.Trial, solution: Solution) -> float | None:
        """Measured on all samples, or known from the same placements; None where the first glance is hopeless."""
        key = _key(solution)
        if key not in self._values:
            give_up = None if self.floor is not None else self._giving_up(trial)
            found = self.judge.judge(Plan.of(*solution.placements), give_up=give_up)
            if found is None:
                return None
            self._values[key] = found.value
        return self._values[key]

    def _giving_up(self, trial: optuna.Trial) -> GiveUp:
        """Whether a first glance is clearly worse than those of several trials before; queued trials always go on."""
        trials = self.study.get_trials(deepcopy=False)
        earlier = [t.user_attrs[_GLANCE] for t in trials if t.state.name == "COMPLETE" and _GLANCE in t.user_attrs]
        warm = bool(trial.user_attrs.get(WARM))

        def give_up(seen: Fidelity) -> bool:
            trial.set_user_attr(_GLANCE, seen.value)
            trial.report(seen.value, step=1)
            return not warm and sum(value > seen.interval[1] for value in earlier) >= _SAFE_RANK

        return give_up

    def _queue_pairs(self) -> None:
        values = {e.solution.decision: e.value for e in self.ranked() if e.solution.decision.is_single}
        chosen = queue(analytic_spot(self.solver), promising_pairs(self.solver, values))
        enqueue(self.study, [self._with_amount(parameters) for parameters in chosen])

    def _parameters(self, decision: Decision) -> dict[str, Any]:
        parameters: dict[str, Any] = {"first": decision.first or _NONE, "second": decision.second or _NONE}
        return self._with_amount(parameters if decision.layer is None else {**parameters, "layer": decision.layer})

    def _with_amount(self, parameters: dict[str, Any]) -> dict[str, Any]:
        return parameters if self.floor is None else {**parameters, "amount": 0.5}

    def _recall(self) -> None:
        """Values that earlier runs of the study measured."""
        for trial in self.study.get_trials(deepcopy=False):
            if VALUE in trial.user_attrs:
                self._values[trial.user_attrs[KEY]] = trial.user_attrs[VALUE]


def _name(choice: str) -> str | None:
    return None if choice == _NONE else choice


def _key(solution: Solution) -> str:
    return " + ".join(f"{p.method}@{p.site} {p.keep!r}" for p in solution.placements)
