"""Trials as decisions: the parameters that a sampler chooses, and the decision that they stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .decision import Decision, Step
from .space import MOST_STEPS, Space

if TYPE_CHECKING:
    import optuna

_NONE = "none"
_LEAST_WEIGHT = 0.05


def proposed(trial: optuna.Trial, space: Space) -> Decision:
    """The decision of a trial.

    Each of up to three passes has a place, as a point between 0 and 1 along the list of its steps in order of flow, so
    that neighbouring values are neighbouring layers whatever the pass; and a weight in the dropping.
    """
    steps: list[Step] = []
    for number in range(1, MOST_STEPS + 1):
        method = trial.suggest_categorical(f"pass{number}", (_NONE, *space.methods))
        if method != _NONE:
            options = space.options[method]
            where = trial.suggest_float(f"where{number}", 0.0, 1.0)
            steps.append(options[min(int(where * len(options)), len(options) - 1)])
    if len(steps) < 2:
        return Decision.of(*steps)
    weights = [trial.suggest_float(f"weight{number}", _LEAST_WEIGHT, 1.0) for number in range(1, len(steps) + 1)]
    return Decision.of(*steps, shares=weights)


def parameters(decision: Decision, space: Space) -> dict[str, Any]:
    """The parameters that `proposed` makes `decision` of, to queue it as a trial."""
    chosen: dict[str, Any] = {f"pass{number}": _NONE for number in range(1, MOST_STEPS + 1)}
    for number, step in enumerate(decision.steps, start=1):
        options = space.options[step.method]
        chosen[f"pass{number}"] = step.method
        chosen[f"where{number}"] = (options.index(step) + 0.5) / len(options)
    largest = max(decision.shares, default=1.0)
    if len(decision.steps) > 1:
        for number, share in enumerate(decision.shares, start=1):
            chosen[f"weight{number}"] = max(_LEAST_WEIGHT, share / largest)
    return chosen
