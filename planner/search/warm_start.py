"""What a study begins with: the best single passes, the combinations that promise most, and what lies beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from ..fidelity.judge import Judge
from .decision import Decision, Step
from .growth import grown, interleaved, naive, swapped
from .narrowing import Narrowed, narrow, remaining_after
from .neighbours import neighbours
from .screening import Profile, Progress, Screen, left, screened
from .shortlist import Shortlist, shortlisted
from .solver import Solution, Solver
from .surrogate import Point, Surrogate

if TYPE_CHECKING:
    import optuna

Clock = Callable[[Solver, Callable[[], Sequence[Step]]], Solver]
"""Makes a solver at the measured pace of some steps, which are asked for where they are to be timed."""

COMBINED, GROWN, NEAR, SWAPPED = "combined", "grown", "near", "swapped"
ROUNDS = ((COMBINED, 8), (COMBINED, 4), (GROWN, 15), (NEAR, 8), (GROWN, 8), (NEAR, 4), (SWAPPED, 8), (NEAR, 6))
"""What is proposed after the single passes, and how much of it: combinations that promise most, again once the first
ones have been measured; then the best so far with a step more, at first enough for three of them to have a turn at each
of five kinds of sites; what lies next to the best; and the best with another pass in the place of one of theirs."""

_REFINED = 2
"""The best decisions that are refined, beside the best single pass."""

_PROFILE, _FIRST, _DONE, _CONSIDERED = "profile", "first", "rounds", "considered"


class WarmStart:
    """Screens single passes once for a study, and proposes what to measure first.

    Args:
        solver: solves decisions. judge: measures them. study: keeps the profile of single passes.
        sensitivity: what earlier searches of the same model and samples measured of single passes, to be reused and
            added to.
        progress: called with (what, done, total).
        clock: asked for the pace of the passes that the screening likes.
    """

    def __init__(
        self,
        solver: Solver,
        judge: Judge,
        study: optuna.Study,
        *,
        sensitivity: Profile | None = None,
        progress: Progress | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.solver = solver
        self.judge = judge
        self.study = study
        self.sensitivity: Profile = {} if sensitivity is None else sensitivity
        self.progress = progress
        self.clock = clock
        self.narrowed: Narrowed | None = None
        self._screen: Screen | None = None
        self._shortlist: Shortlist | None = None

    @property
    def screen(self) -> Screen:
        """Every pass alone on few samples."""
        if self._screen is None:
            profile = self.sensitivity
            profile.update(self.study.user_attrs.get(_PROFILE, {}))
            try:
                self._screen = screened(self.solver, self.judge, profile=profile, progress=self.progress)
            finally:
                if profile != self.study.user_attrs.get(_PROFILE):
                    self.study.set_user_attr(_PROFILE, profile)
        return self._screen

    @property
    def first(self) -> list[Decision]:
        """The single passes that are measured on all samples before anything else."""
        return list(self.shortlist.first)

    @property
    def shortlist(self) -> Shortlist:
        """The single passes that the screening likes, looked at again."""
        if self._shortlist is None:
            self._timed()
            known = self.study.user_attrs.get(_FIRST)
            self._shortlist = (
                Shortlist.from_data(known)
                if known is not None
                else shortlisted(self.solver, self.judge, self.screen, progress=self.progress)
            )
            self.study.set_user_attr(_FIRST, self._shortlist.to_data())
        return self._shortlist

    def _timed(self) -> None:
        """From here on the solver knows what the clock says of single passes; all workers of a study share it."""
        if self.clock is not None:
            self.solver = self.clock(self.solver, self.screen.mixable)

    def due(self, done: int) -> bool:
        """Whether something is to be proposed after `done` trials: when all that was proposed before is measured.

        The study remembers it, so that of several workers one proposes.
        """
        past = self._rounds
        return past < len(ROUNDS) and done >= len(self.first) + sum(count for _, count in ROUNDS[:past])

    def proposals(self, measured: Iterable[tuple[Solution, float]]) -> tuple[Decision, ...]:
        """What the next of `ROUNDS` says.

        Args:
            measured: what the study knows, with its value, best first; it corrects what is expected of passes and of
                pairs of them.
        """
        past, seen = self._rounds, list(measured)
        self.study.set_user_attr(_DONE, past + 1)
        kind, count = ROUNDS[past]
        screen = self._sharpened(seen)
        surrogate = self._learned(screen, seen)
        decisions = [solution.decision for solution, _ in seen]
        known = {decision.alike for decision in decisions}
        steps = screen.mixable()
        if kind == COMBINED:
            asked = sum(many for _, many in ROUNDS[: past + 1])
            promising = self._promising(surrogate, steps, count=asked)
            proposed = {each.alike: each for each in (*naive(self.solver, decisions), *promising)}
            return tuple(decision for alike, decision in proposed.items() if alike not in known)[:count]
        single = [decision for decision in decisions if decision.is_single][:1]
        best = dict.fromkeys([*decisions[:_REFINED], *single])
        if kind == NEAR:
            return neighbours(self.solver, best, count=count, known=known)
        changed = grown if kind == GROWN else swapped
        return interleaved((changed(self.solver, surrogate, each, steps, known=known) for each in best), count=count)

    def _promising(self, surrogate: Surrogate, steps: Sequence[Step], *, count: int) -> tuple[Decision, ...]:
        """The combinations that promise most; how many were considered is added up in the study."""
        self.narrowed = narrow(self.solver, surrogate, steps, count=count)
        self.study.set_user_attr(_CONSIDERED, self.considered + self.narrowed.considered)
        return self.narrowed.best

    @property
    def considered(self) -> int:
        """Plans that the cost model was asked about in the study's narrowings: combinations, each at every count."""
        return int(self.study.user_attrs.get(_CONSIDERED, 0))

    @property
    def _rounds(self) -> int:
        return int(self.study.user_attrs.get(_DONE, 0))

    def _sharpened(self, measured: Sequence[tuple[Solution, float]]) -> Screen:
        """The screen with what the shortlist and the study saw of single passes on more samples."""
        single = [(solution, value) for solution, value in measured if solution.decision.is_single]
        known = {s.decision.steps[0]: Point(left(self.solver, s), value) for s, value in reversed(single) if s.dropped}
        return self.screen.sharpened(self.shortlist.seen).sharpened(known)

    def _learned(self, screen: Screen, measured: Sequence[tuple[Solution, float]]) -> Surrogate:
        surrogate = screen.surrogate
        for solution, value in measured:
            part = solution.dropped / self.solver.space.tokens
            if len(solution.decision.steps) > 1:
                surrogate.learn(solution.decision, remaining_after(solution.decision, part), value)
        return surrogate
