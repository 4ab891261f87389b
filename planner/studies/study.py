"""The Optuna study behind a search: where it is kept, how it samples, and how it goes on after a stop."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ...common.errors import BadInput
from ...common.names import unknown
from ...common.seeds import sub_seed
from .storage import shown, storage_of, url_of
from .workers import reclaim, requeue_lost

if TYPE_CHECKING:
    import optuna

KEY = "key"
"""User attribute of a measured trial: its placements in words."""

VALUE = "value"
"""User attribute of a measured trial: fidelity, or a task's metric."""

SCORE = "score"
"""User attribute of a measured trial: what it is ranked by, see `Fidelity.score`."""

VIOLATION = "violation"
"""User attribute of a trial: how far past the constraint it is; held when <= 0."""

TTFT = "ttft"
"""User attribute of a measured trial: predicted TTFT as a part of the uncompressed model's."""

WARM = "warm"
"""User attribute of a trial that was queued rather than sampled; such trials are never pruned."""

TRIALS = "trials"
"""User attribute of a study: how many trials shall end, for workers that join."""

PACE = "pace"
"""User attribute of a study: measured over predicted figure by budget, which all of its workers search with."""

PASS_PACE = "pass_pace"
"""User attribute of a study: the same by pass and kind of site, for `Solver.pace`."""

AIM = "aim"
"""User attribute of a study with a floor: the TTFT at which it searches, a part of the uncompressed model's."""

SAMPLERS = ("tpe", "nsga2", "random")
_STARTUP_TRIALS = 8
_POPULATION = 12
_QUESTION = "question"
_NAME = "foveate"
_MEMORY = "in memory"


def open_study(place: str | None, *, question: Mapping[str, Any], kind: str = "tpe") -> optuna.Study:
    """The study kept at `place`, made or taken up again.

    Args:
        place: path of an SQLite file, an Optuna storage URL, or None to keep it in memory.
        question: what the study searches for; a study at `place` that answers another question is refused.
        kind: the sampler that it is for; `nsga2` has two objectives, the value and the latency.

    Raises:
        BadInput: `place` cannot be opened, or holds the study of another model, budget or seed.
    """
    import optuna

    with quiet():
        try:
            study = optuna.create_study(
                storage=storage_of(place),
                study_name=_NAME,
                directions=["maximize", "minimize"] if kind == "nsga2" else ["maximize"],
                load_if_exists=True,
            )
        except BadInput:
            raise
        except Exception as error:  # SQLAlchemy's many kinds: all mean that the place cannot be used
            raise BadInput(f"the study {shown(place or _MEMORY)} cannot be opened: {_reason(error, place)}") from error
        _same_question(study, place, question)
        reclaim(study)
        requeue_lost(study)
    return study


def join_study(place: str, *, question: Mapping[str, Any]) -> optuna.Study:
    """The study that another worker has opened at `place`.

    Raises:
        BadInput: there is none, or it answers another question.
    """
    import optuna

    with quiet():
        try:
            study = optuna.load_study(study_name=_NAME, storage=storage_of(place) or url_of(place))
        except KeyError as error:
            raise BadInput(f"there is no study at {shown(place)} to join; start it first, without joining") from error
        if _QUESTION not in study.user_attrs:
            raise BadInput(f"the study at {shown(place)} has not begun; join it in a moment")
        _same_question(study, place, question)
    return study


def finished(study: optuna.Study) -> int:
    """Trials that ended properly: measured, infeasible or pruned."""
    from optuna.trial import TrialState

    return len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)))


def best_of(place: str, count: int) -> list[tuple[float, str]]:
    """The best measured values of the study at `place` that hold their constraints, and their placements, each once.

    Raises:
        BadInput: no study can be read there.
    """
    import optuna

    with quiet():
        try:
            trials = optuna.load_study(study_name=_NAME, storage=url_of(place)).get_trials(deepcopy=False)
        except Exception as error:  # SQLAlchemy's many kinds: all mean that the place cannot be used
            raise BadInput(f"the study {shown(place)} cannot be read: {_reason(error, place)}") from error
    held = [t.user_attrs for t in trials if VALUE in t.user_attrs and t.user_attrs.get(VIOLATION, 1.0) <= 0]
    found = {attributes[KEY]: float(attributes[VALUE]) for attributes in held}
    return sorted(((value, key) for key, value in found.items()), reverse=True)[:count]


def require_sampler(name: str) -> None:
    """Refuse a sampler that there is not, before any work.

    Raises:
        BadInput: with the nearest name.
    """
    if name not in SAMPLERS:
        raise unknown("sampler", name, SAMPLERS)


def sampler(seed: int, index: int, *, kind: str = "tpe") -> optuna.samplers.BaseSampler:
    """The sampler of trial `index`: `tpe`, `nsga2` or `random`.

    It is made anew for each trial, from the seed and the number of trials before it, so that a study that was stopped
    and taken up again samples what it would have sampled in one go.

    Raises:
        BadInput: there is no such sampler.
    """
    import optuna

    require_sampler(kind)
    number = sub_seed(seed, "trial", index) % 2**32
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `group` is experimental; constraints_func has a successor in optuna 5
        if kind == "random":
            return optuna.samplers.RandomSampler(seed=number)
        if kind == "nsga2":
            return optuna.samplers.NSGAIISampler(seed=number, population_size=_POPULATION, constraints_func=_past_limit)
        return optuna.samplers.TPESampler(
            seed=number,
            n_startup_trials=_STARTUP_TRIALS,
            multivariate=True,
            group=True,
            constraints_func=_past_limit,
        )


def _past_limit(trial: optuna.trial.FrozenTrial) -> tuple[float]:
    return (float(trial.user_attrs.get(VIOLATION, 1.0)),)


def enqueue(study: optuna.Study, choices: Sequence[Mapping[str, Any]]) -> None:
    """Queue trials with these parameters, unless they are in the study already."""
    for parameters in choices:
        study.enqueue_trial(dict(parameters), user_attrs={WARM: True}, skip_if_exists=True)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Optuna's log and its warnings about features on their way in or out."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="optuna")
            yield
    finally:
        optuna.logging.set_verbosity(before)


def _same_question(study: optuna.Study, place: str | None, question: Mapping[str, Any]) -> None:
    held = study.user_attrs.get(_QUESTION)
    if held is None:
        study.set_user_attr(_QUESTION, dict(question))
        return
    differing = [key for key, value in question.items() if held.get(key) != value]
    if differing:
        what = ", ".join(f"{key} {held.get(key)!r} instead of {question[key]!r}" for key in differing)
        where = shown(place or _MEMORY)
        raise BadInput(f"the study {where} searches for something else ({what}); give another file")


def _reason(error: Exception, place: str | None) -> str:
    """The first line of what a library says, without the password that it may repeat from `place`."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return line if place is None else line.replace(place.split("://")[-1], shown(place).split("://")[-1])
