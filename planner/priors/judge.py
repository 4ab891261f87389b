"""The judge without a model: what published results lead one to expect of a plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ...ir.graph import Graph, Placed
from ...ir.plan import Plan
from ...ir.site import Site
from ...passes import REGISTRY
from ...runtime import resolve
from ..fidelity.fidelity import Fidelity
from ..rules.conflicts import discount
from .data import published_results
from .fit import LossCurves, PriorFit, published_fit

GiveUp = Callable[[Fidelity], bool]
_QUANTILE = 1.96  # two-sided 95 % of a normal error


def passes_with_prior(modalities: Iterable[str]) -> tuple[str, ...]:
    """Names of the passes that have published results for one of `modalities` at least.

    Example:
        >>> "fastv" in passes_with_prior(["image"]), passes_with_prior(["audio"])
        (True, ())
    """
    known, wanted = published_fit(), tuple(modalities)
    found = ((name, cls.catalog_id) for name, cls in REGISTRY.items().items())
    return tuple(name for name, catalog_id in found if any(known.knows(catalog_id, m) for m in wanted))


def prior_judge(graph: Graph) -> PriorJudge:
    """The judge of plans for `graph`, by the published results that come with foveate."""
    return PriorJudge(graph, published_fit())


@dataclass(frozen=True)
class PriorJudge:
    """Judges by loss curves: the expected benchmark score, relative to the uncompressed model's.

    The fraction kept is the mean over the decoder's layers, which is how the tables count. Of several passes each takes
    part in proportion to how much it reduces: together they lose what the mean of their curves loses at the joint
    fraction, so a combination is never expected to beat its best member at equal reduction (as arXiv:2507.20198,
    section VI-C, reports), and passes that remove the same redundancy lean towards the worse of the two.
    """

    graph: Graph
    fit: PriorFit

    @property
    def samples(self) -> int:
        """How many published rows speak about the modalities of the workload."""
        return sum(result.modality in self.graph.layouts for result in published_results())

    def judge(self, plan: Plan, *, give_up: GiveUp | None = None) -> Fidelity | None:
        """The expected value, None where one of the passes has no published results.

        The interval is the error on left-out sources, widened where fewer tokens are kept than any source reports;
        `per_sample` holds the value under each fit that leaves one source out, (sources,).
        """
        placed = resolve(self.graph, plan.placements).placed
        if not all(self._known(item) for item in placed):
            return None
        value = self._value(plan, placed, self.fit.curves)
        spread = _QUANTILE * self.fit.error * self._stretch(placed) if placed else 0.0
        others = [self._value(plan, placed, curves) for curves in self.fit.without.values()]
        interval = (max(0.0, value - spread), min(1.0, value + spread))
        found = Fidelity(value, interval, None, np.array(others), kind="prior")
        return None if give_up is not None and give_up(found) else found

    def extrapolates(self, plan: Plan) -> bool:
        """Whether the plan keeps fewer tokens than any source reports."""
        return self._stretch(resolve(self.graph, plan.placements).placed) > 1

    def _known(self, item: Placed) -> bool:
        return self.fit.knows(REGISTRY.get(item.placement.method).catalog_id, item.modality)

    def _value(self, plan: Plan, placed: Sequence[Placed], curves: LossCurves) -> float:
        """The mean over modalities, each weighted with its tokens."""
        factor = discount(plan.placements, REGISTRY.items(), self.graph.workload)
        total = weight = 0.0
        for modality, layout in self.graph.layouts.items():
            tokens = layout.count * max(1, self.graph.media(modality))
            items = [item for item in placed if item.modality == modality]
            total += tokens * (self._relative(items, curves, factor) if items else 1.0)
            weight += tokens
        return total / weight

    def _relative(self, items: Sequence[Placed], curves: LossCurves, factor: float) -> float:
        keep = self._mean_kept(items)
        if keep >= 1.0:
            return 1.0
        scales = np.array([self._scale(item, curves) for item in items])
        reductions = np.array([-np.log(self._mean_kept([item], alone=True)) for item in items])
        mixed = float(scales @ reductions / reductions.sum()) if reductions.sum() else float(scales.max())
        return curves.relative(mixed + (1 - factor) * (float(scales.max()) - mixed), keep)

    def _scale(self, item: Placed, curves: LossCurves) -> float:
        method = REGISTRY.get(item.placement.method).catalog_id or ""
        return curves.scale(method, self.fit.mechanisms[(method, item.modality)], item.modality)

    def _mean_kept(self, items: Sequence[Placed], *, alone: bool = False) -> float:
        """The fraction of a medium's tokens that remain, averaged over the decoder's layers.

        Args:
            alone: count what arrives at the site as the whole.
        """
        depth = self.graph.decoder.depth
        kept = np.ones(depth)
        for item in sorted(items, key=lambda p: Site.parse(p.placement.site).depth):
            whole = item.tokens_in if alone else self.graph.layouts[item.modality].count
            kept[_first_layer(item) :] = max(item.tokens_out, 1) / max(whole, 1)
        return float(min(1.0, kept.mean()))

    def _stretch(self, placed: Sequence[Placed]) -> float:
        """How much deeper than any published row the plan goes: ratio of the curves' arguments, 1 where inside."""
        widest = 1.0
        for modality, least in self.fit.least_keep.items():
            keep = self._mean_kept([item for item in placed if item.modality == modality])
            widest = max(widest, (np.log(keep) / np.log(least)) ** self.fit.curves.exponent)
        return float(widest)


def _first_layer(item: Placed) -> int:
    """The first decoder layer that sees the reduced count; everything before the decoder counts as layer 0."""
    site = Site.parse(item.placement.site)
    return (site.layer or 0) if site.kind == "decoder.layer" else 0
