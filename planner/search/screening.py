"""What each pass loses alone at each site: profiled once on few samples, the best ones twice, kept in the study."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ...ir.plan import Plan
from ...passes import REGISTRY
from ..fidelity.judge import Judge
from .decision import Decision, Step
from .looking import look
from .solver import Solution, Solver
from .surrogate import Curve, Point, Surrogate

Progress = Callable[[str, int, int], None]
Profile = dict[str, list[list[float]]]
"""By step in words: [fraction asked for, fraction that remained, score] of each measurement."""

_USUAL_REMAINING = 0.3
_LEAST_GAIN = 0.002
_NEAR = 1.5
"""A measurement within this factor of the fraction asked for serves for it."""

_COVERED = {"encoder.layer": {"encoder.layer.mid"}, "encoder.output": {"projector.output"}}
"""Kinds of sites that are not screened where the pass also acts at another one."""

_SURVIVORS = 3
"""One step in so many is measured a second time, at half of the dropping."""

_SCANNED = 4
"""Passes inside an encoder, the best ones, that are measured at its other layers too: how early they should act is up
to the budget, since the layers before them run on everything."""

MIXED, _OF_EACH_KIND = 16, 4
"""The best single steps that combinations are made of, and the best of each kind of site beside them: what cannot hold
the budgets alone, deep in the decoder, may harm least where others went before it."""


@dataclass(frozen=True)
class Screen:
    """The profiled steps.

    Attributes:
        points: measurements of each step alone. remaining: the fraction at which steps are compared.
        unable: steps that cannot hold the budgets alone, compared where a typical one can.
    """

    points: dict[Step, tuple[Point, ...]]
    remaining: dict[Step, float]
    unable: frozenset[Step] = frozenset()

    @property
    def surrogate(self) -> Surrogate:
        """Curves of every profiled step."""
        return Surrogate({step: Curve.fit(found) for step, found in self.points.items()})

    def ranked(self) -> list[Step]:
        """Steps by the loss where each of them alone just meets the budgets; those that cannot meet them come last."""
        curves = {step: Curve.fit(found) for step, found in self.points.items()}
        return sorted(curves, key=lambda s: (s in self.unable, float(curves[s].loss(self.remaining[s])), str(s)))

    def sharpened(self, measured: Mapping[Step, Point]) -> Screen:
        """The screen with what was measured of its steps on more samples in place of its own measurements near by."""
        points = dict(self.points)
        for step, point in measured.items():
            if step in points:
                far = [p for p in points[step] if abs(math.log(p.remaining / point.remaining)) >= math.log(_NEAR)]
                points[step] = (point, *far)
        return replace(self, points=points)

    def mixable(self) -> list[Step]:
        """The steps that combinations are made of: the best ones, and the best of each kind of site among them."""
        ranked = [step for step in self.ranked() if not REGISTRY.get(step.method).withdraws]
        kinds = {kind: [step for step in ranked if step.kind == kind] for kind in {step.kind for step in ranked}}
        best = {step for steps in kinds.values() for step in steps[:_OF_EACH_KIND]}
        return [step for number, step in enumerate(ranked) if number < MIXED or step in best]


def screened(solver: Solver, judge: Judge, *, profile: Profile, progress: Progress | None = None) -> Screen:
    """Measure steps alone on the judge's first samples, what `profile` holds already left out and the rest added to it.

    Every step is measured where it alone just meets the budgets (else where a typical one does); the best third again
    at half of that dropping, which fixes how its loss grows.
    """
    steps = list(screening_steps(solver))
    once = _profiled(solver, judge, steps, profile, progress)
    others = list(_at_other_layers(solver, once))
    if others:
        steps += others
        once = _profiled(solver, judge, steps, profile, progress)
    drops = _drops(solver, steps)
    for step in once.ranked()[: math.ceil(len(steps) / _SURVIVORS)]:
        if not REGISTRY.get(step.method).withdraws:
            _measure(solver, judge, step, max(1, drops[step] // 2), profile)
    return replace(once, points=_points(steps, profile))


def _profiled(
    solver: Solver, judge: Judge, steps: Sequence[Step], profile: Profile, progress: Progress | None
) -> Screen:
    """Every step once, where it alone just meets the budgets."""
    drops, total = _drops(solver, steps), solver.space.tokens
    for number, step in enumerate(steps):
        _measure(solver, judge, step, drops[step], profile)
        if progress:
            progress("screen", number + 1, len(steps))
    unable = frozenset(step for step in steps if not solver.solve(Decision.of(step)).feasible)
    remaining = {step: 1 - drop / total for step, drop in drops.items()}
    nearest = {str(step): _near(profile[str(step)], 1 - drops[step] / total)[:1] for step in steps}
    return Screen(_points(steps, nearest), remaining, unable)


def _drops(solver: Solver, steps: Sequence[Step]) -> dict[Step, int]:
    """What each step alone must drop; what a typical one must, where it cannot hold the budgets."""
    solved = {step: solver.solve(Decision.of(step)) for step in steps}
    typical = _typical_drop(solver, list(solved.values()))
    return {step: s.dropped if s.feasible and s.dropped else typical for step, s in solved.items()}


def _at_other_layers(solver: Solver, screen: Screen) -> Iterator[Step]:
    """The best passes inside an encoder at its other layers where they alone can hold the budgets."""
    inside = [step for step in screen.ranked() if step.kind.startswith("encoder.layer")]
    known = set(screen.points)
    for best in list(dict.fromkeys((step.method, step.kind, step.modality) for step in inside))[:_SCANNED]:
        for step in solver.space.options[best[0]]:
            alike = (step.method, step.kind, step.modality) == best and len(step.places) == 1
            if alike and step not in known and solver.solve(Decision.of(step)).feasible:
                yield step


def screening_steps(solver: Solver) -> Iterator[Step]:
    """Each pass at each kind of site that can help: at the usual layer, in the middle of the decoder, as a schedule.

    Where the usual layer is too deep for the budgets, the deepest one before it that is not takes its place. Inside an
    encoder one place stands for the others of the pass, and the encoder's output for none, since the same tokens leave
    at the projector's output.
    """
    space = solver.space
    for steps in space.options.values():
        singles = [single.steps[0] for single in space.singles() if single.steps[0] in steps]
        for usual in singles:
            kinds = {step.kind for step in singles if step.modality == usual.modality}
            covered = _COVERED.get(usual.kind, set()) & kinds
            if not covered and _useful(solver, usual):
                alike = [s for s in steps if s.kind == usual.kind and s.modality == usual.modality]
                yield from _places(_able(solver, usual, alike), alike)


def _places(usual: Step, alike: Sequence[Step]) -> Iterator[Step]:
    plain = [step for step in alike if len(step.places) == 1]
    staged = [step for step in alike if len(step.places) > 1 and step.places[0] == usual.places[0]]
    yield from dict.fromkeys([usual, *([plain[len(plain) // 2]] if usual.kind == "decoder.layer" else []), *staged[:1]])


def _able(solver: Solver, usual: Step, alike: Sequence[Step]) -> Step:
    """The deepest plain place up to the usual one where the step alone can hold the budgets, else the usual one."""
    earlier = [step for step in alike if len(step.places) == 1 and step.depth <= usual.depth]
    deepest = sorted(earlier, key=lambda step: step.depth, reverse=True)
    return next((step for step in deepest if solver.solve(Decision.of(step)).feasible), usual)


def _useful(solver: Solver, step: Step) -> bool:
    """Whether the step at its strongest improves any budget's figure; the TTFT where there is no budget."""
    most = solver.solution(Decision.of(step), solver.space.tokens - 1).prediction
    if not solver.budgets:
        return most.ttft_ms < solver.baseline.ttft_ms
    return any(solver.excess(most, b) < solver.excess(solver.baseline, b) - _LEAST_GAIN for b in solver.budgets)


def _measure(solver: Solver, judge: Judge, step: Step, dropped: int, profile: Profile) -> None:
    """Add a measurement of a step to `profile`, unless one near that fraction is there."""
    wanted = 1 - dropped / solver.space.tokens
    known = profile.setdefault(str(step), [])
    if any(abs(math.log(asked / wanted)) < math.log(_NEAR) for asked, _, _ in known):
        return
    solution = solver.solution(Decision.of(step), dropped)
    found = look(judge, Plan.of(*solution.placements))
    known.append([wanted, left(solver, solution), 0.0 if found is None else found.score])


def _near(known: Sequence[list[float]], wanted: float) -> list[list[float]]:
    """Measurements by how near they were to the fraction `wanted`."""
    return sorted(known, key=lambda entry: abs(math.log(entry[0] / wanted)))


def left(solver: Solver, solution: Solution) -> float:
    """The fraction of the largest medium that is left; a withdrawal counts as one token."""
    placed = solver.resolved(solution.placements).placed
    if not placed:
        return 1.0
    last = max(placed, key=lambda item: solver.space.graph.layouts[item.modality].count)
    total = solver.space.graph.layouts[last.modality].count
    return max(1, min(i.tokens_out for i in placed if i.modality == last.modality)) / total


def _points(steps: Sequence[Step], profile: Profile) -> dict[Step, tuple[Point, ...]]:
    found = {
        step: tuple(Point(left, value) for _, left, value in profile.get(str(step), []) if left < 1) for step in steps
    }
    return {step: points for step, points in found.items() if points}


def _typical_drop(solver: Solver, solved: Sequence[Solution]) -> int:
    """What a pass before the decoder must drop, which is where others are measured that cannot hold the budgets."""
    held = sorted(s.dropped for s in solved if s.feasible and s.dropped)
    return held[0] if held else round((1 - _USUAL_REMAINING) * solver.space.tokens)
