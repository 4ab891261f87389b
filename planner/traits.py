"""What the conflict table may know of a placement."""

from __future__ import annotations

from dataclasses import dataclass

from ..ir.layout import Layout
from ..ir.placement import Placement
from ..ir.site import Site
from ..ir.workload import Workload
from ..passes import Pass

_NOMINAL = Layout.image(8, 8)
"""A grid to ask a pass about: whether it keeps one, and what it reads, does not depend on the size."""


@dataclass(frozen=True)
class Traits:
    """A placement as rules see it: its pass's class attributes, its site, and what its shapes say.

    Attributes:
        label: `fastv@decoder.layers.2`, the name in conflict records.
        keeps_grid: whether what remains still fills a grid. reads: stages that its signals come from.
    """

    label: str
    method: str
    mechanism: str
    consumes: tuple[str, ...]
    query_aware: bool
    needs_grid: bool
    keeps_grid: bool
    reads: tuple[str, ...]
    site: str
    site_kind: str
    modalities: tuple[str, ...]


def traits_of(placement: Placement, cls: type[Pass], workload: Workload) -> Traits:
    """The traits of `placement`, whose pass is of class `cls`."""
    instance = cls(**dict(placement.params))
    site = Site.parse(placement.site)
    modalities = (site.modality,) if site.modality else placement.modality or workload.modalities or cls.modalities
    return Traits(
        label=f"{placement.method}@{placement.site}",
        method=placement.method,
        mechanism=cls.mechanism,
        consumes=cls.consumes,
        query_aware=cls.query_aware,
        needs_grid=cls.needs_grid,
        keeps_grid=placement.keep == 1.0 or _keeps_grid(instance, placement.keep),
        reads=tuple(sorted({need.stage for need in instance.needs(_NOMINAL)})),
        site=placement.site,
        site_kind=site.kind,
        modalities=modalities,
    )


def _keeps_grid(method: Pass, keep: float) -> bool:
    """Whether what it leaves of a grid is one; of a withdrawal nothing is left."""
    return not method.withdraws and method.count(_NOMINAL, keep).grid is not None
