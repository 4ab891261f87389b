"""The trials behind a plan: those of its study where that can be read, else those that the plan file holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...common.errors import BadInput
from ..search.front import FrontPoint, pareto
from ..studies.storage import shown, url_of
from ..studies.study import KEY, TTFT, VALUE, VIOLATION, quiet
from .content import Trial

if TYPE_CHECKING:
    from ...ir.plan import Plan


def trials_of(plan: Plan, study: str | None = None) -> tuple[tuple[Trial, ...], int, str | None]:
    """Measured trials in their order, how many ended unmeasured, and why trials are missing, None where none are.

    Args:
        study: path or URL of the study, in place of the one that the plan names.

    Raises:
        BadInput: `study` is given and cannot be read.
    """
    if plan.search is None and study is None:
        return (), 0, "The plan was not found by a search, so there are no trials to show."
    baseline = None if plan.predicted is None else plan.predicted.baseline_ttft_ms
    place = study or (plan.search.study if plan.search is not None else "")
    if study is None and (not place or ("://" not in place and not Path(place).is_file())):
        return _of_plan(plan), 0, f"{_absent(place)} Shown are the plans that the plan file itself names."
    if baseline is None:
        return _of_plan(plan), 0, "The plan states no uncompressed TTFT, to which the study's trials are relative."
    measured, others = _read(place, baseline)
    return measured, others, None


def front_of(trials: tuple[Trial, ...]) -> tuple[Trial, ...]:
    """The trials that no other one beats in latency without losing value, fastest first."""
    by_point = {FrontPoint(trial.plan, trial.ttft_ms, trial.value): trial for trial in trials}
    return tuple(by_point[point] for point in pareto(by_point))


def _absent(place: str) -> str:
    return f"The study {shown(place)} cannot be found here." if place else "The search kept no study."


def _of_plan(plan: Plan) -> tuple[Trial, ...]:
    if plan.search is None:
        return ()
    found = {(r.plan, r.ttft_ms, r.value) for r in (*plan.search.front, *plan.search.runners_up)}
    return tuple(Trial(words, ttft, value) for words, ttft, value in sorted(found, key=lambda item: item[1]))


def _read(place: str, baseline: float) -> tuple[tuple[Trial, ...], int]:
    import optuna

    with quiet():
        try:
            trials = optuna.load_study(study_name=None, storage=url_of(place)).get_trials(deepcopy=False)
        except Exception as error:  # SQLAlchemy's many kinds: all mean that the place cannot be used
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise BadInput(f"the study {shown(place)} cannot be read: {reason}") from error
    ended = [t for t in trials if t.state.is_finished()]
    measured = [t for t in ended if VALUE in t.user_attrs]
    found = tuple(
        Trial(
            str(t.user_attrs[KEY]) or "no compression",
            float(t.user_attrs[TTFT]) * baseline,
            float(t.user_attrs[VALUE]),
            float(t.user_attrs.get(VIOLATION, 1.0)) <= 0,
            t.number,
        )
        for t in measured
    )
    return found, len(ended) - len(measured)
