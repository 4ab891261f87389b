"""Loss curves fitted to published results, and how far they miss a source that they have not seen.

The model is -log(relative score) = a (-log keep)^b: no loss where all is kept, more the less is kept. The exponent b is
shared: the median slope between two ratios that one source reports of one method (Theil and Sen; Sen 1968), since
sources differ in level and single rows are outliers. The scale a is the modality's mean plus what the mechanism and the
method add, both shrunk towards zero by ridge regression (Gelman & Hill 2007, chapter 12). A method's own addition gets
the weight of one row at keep = 1/e (a unit-information prior, Kass & Wasserman 1995), because hardly a method stands in
two sources; the mechanism's shrinkage is the one with the least error on left-out sources.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from math import log
from statistics import median

import numpy as np

from ...common.errors import BadInput
from .data import PublishedResult, published_results

_SHRINKAGES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
_OWN_SHRINKAGE = 1.0
_LEAST_SCALE = 1e-4
"""Scales below this would say that dropping tokens helps; single benchmarks say so, no curve should."""


@dataclass(frozen=True)
class LossCurves:
    """Fitted scales, and the exponent that they share.

    Attributes:
        exponent: b. scales: a of each (modality, effect), where the effect is the modality's mean (""), a mechanism's
            addition (its name) or a method's (its catalogue id, after a colon).
    """

    exponent: float
    scales: dict[tuple[str, str], float]

    def scale(self, method: str, mechanism: str, modality: str) -> float:
        """The scale a of a method, which may be one that the fit has not seen: then its mechanism's or modality's."""
        effects = ((modality, effect) for effect in _effects(method, mechanism))
        return max(_LEAST_SCALE, sum(self.scales.get(effect, 0.0) for effect in effects))

    def relative(self, scale: float, keep: float) -> float:
        """The relative score at `keep` of a method with this scale."""
        return float(np.exp(-scale * (-np.log(keep)) ** self.exponent))


@dataclass(frozen=True)
class PriorFit:
    """The curves of all published results.

    Attributes:
        curves: fitted to everything. without: fitted without one source each, by its name.
        error: root mean square error of the relative score on left-out sources.
        least_keep: the smallest fraction kept that any source reports, by modality; below it curves extrapolate.
        mechanisms: that of each (method, modality) that has data of its own.
    """

    curves: LossCurves
    without: dict[str, LossCurves]
    error: float
    least_keep: dict[str, float]
    mechanisms: dict[tuple[str, str], str]

    def knows(self, method: str | None, modality: str) -> bool:
        """Whether the method has data of its own for the modality; one without has no prior."""
        return (method, modality) in self.mechanisms


@cache
def published_fit() -> PriorFit:
    """The fit to the results that come with foveate."""
    return fit(published_results())


def fit(results: Sequence[PublishedResult]) -> PriorFit:
    """Fit loss curves to `results`, of two sources or more.

    Raises:
        BadInput: no source reports a method at two ratios.

    Example:
        >>> published_fit().error < 0.1
        True
    """
    exponent = median_slope(results)
    _, shrinkage = min((_error(results, exponent, s), s) for s in _SHRINKAGES)
    least: dict[str, float] = {}
    for result in results:
        least[result.modality] = min(result.keep, least.get(result.modality, 1.0))
    return PriorFit(
        curves=fit_curves(results, exponent=exponent, shrinkage=shrinkage),
        without=_left_out(results, exponent, shrinkage),
        error=_error(results, exponent, shrinkage),
        least_keep=least,
        mechanisms={(result.method, result.modality): result.mechanism for result in results},
    )


def median_slope(results: Sequence[PublishedResult]) -> float:
    """The median of d log(loss) / d log(-log keep) over pairs of rows of one method in one source; gains are left out.

    Raises:
        BadInput: no source reports a method at two ratios.
    """
    slopes = []
    for first, second in combinations(results, 2):
        same = (first.source, first.method, first.modality) == (second.source, second.method, second.modality)
        if same and first.keep != second.keep and max(first.relative, second.relative) < 1:
            reach = log(log(first.keep) / log(second.keep))
            slopes.append(log(log(first.relative) / log(second.relative)) / reach)
    if not slopes:
        raise BadInput("no source reports a method at two ratios, so no loss curve can be fitted; add such rows")
    return median(slopes)


def fit_curves(results: Sequence[PublishedResult], *, exponent: float, shrinkage: float) -> LossCurves:
    """Ridge regression of the losses on the effects; the modality's mean is not shrunk."""
    names = sorted({(r.modality, effect) for r in results for effect in _effects(r.method, r.mechanism)})
    place = {name: column for column, name in enumerate(names)}
    design = np.zeros((len(results), len(names)))
    for row, result in enumerate(results):
        columns = [place[(result.modality, effect)] for effect in _effects(result.method, result.mechanism)]
        design[row, columns] = (-np.log(result.keep)) ** exponent
    losses = -np.log([result.relative for result in results])
    penalty = np.diag([_penalty(effect, shrinkage) for _, effect in names])
    solved = np.linalg.solve(design.T @ design + penalty, design.T @ losses)
    return LossCurves(exponent, dict(zip(names, solved.tolist(), strict=True)))


def _effects(method: str, mechanism: str) -> tuple[str, str, str]:
    return "", mechanism, f":{method}"


def _penalty(effect: str, shrinkage: float) -> float:
    if not effect:
        return 1e-9  # the modality's mean is free
    return _OWN_SHRINKAGE if effect.startswith(":") else shrinkage


def _left_out(results: Sequence[PublishedResult], exponent: float, shrinkage: float) -> dict[str, LossCurves]:
    sources = sorted({result.source for result in results})
    rest = {source: [result for result in results if result.source != source] for source in sources}
    return {s: fit_curves(kept, exponent=exponent, shrinkage=shrinkage) for s, kept in rest.items()}


def _error(results: Sequence[PublishedResult], exponent: float, shrinkage: float) -> float:
    without = _left_out(results, exponent, shrinkage)
    misses = []
    for result in results:
        curves = without[result.source]
        scale = curves.scale(result.method, result.mechanism, result.modality)
        misses.append(curves.relative(scale, result.keep) - result.relative)
    return float(np.sqrt(np.mean(np.square(misses))))
