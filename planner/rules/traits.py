"""What the conflict table may know of a placement."""

from __future__ import annotations

from dataclasses import dataclass

from ...ir.layout import Layout
from ...ir.placement import Placement
from ...ir.site import Site
from ...ir.workload import Workload
from ...passes import Pass

_NOMINAL = Layout.image(8, 8)
"""A grid to ask a pass about: whether it keeps one, and what it reads, does not depend on the size."""

_CLIP = Layout(256, (4, 8, 8))
_WITH_CLS = Layout.image(8, 8, prefix=1)
_WIDTH = 64


@dataclass(frozen=True)
class Traits:
    """A placement as rules see it: its pass's class attributes, its site, and what its shapes and costs say.

    Attributes:
        label: `fastv@decoder.layers.2`, the name in conflict records.
        keeps_grid, keeps_frames, keeps_cls: whether what remains still fills a grid, still falls into frames, and still
            has its [CLS] token. needs_frames: compares frames. reads: stages that its signals come from, those right
            before its own site left out.
        reads_cls: reads the attention of [CLS]. merges: what goes on are means of several tokens.
    """

    label: str
    method: str
    mechanism: str
    consumes: tuple[str, ...]
    query_aware: bool
    needs_grid: bool
    needs_frames: bool
    keeps_grid: bool
    keeps_frames: bool
    keeps_cls: bool
    reads: tuple[str, ...]
    reads_cls: bool
    merges: bool
    site: str
    site_kind: str
    modalities: tuple[str, ...]


def traits_of(placement: Placement, cls: type[Pass], workload: Workload) -> Traits:
    """The traits of `placement`, whose pass is of class `cls`."""
    instance = cls(**dict(placement.params))
    site = Site.parse(placement.site)
    modalities = (site.modality,) if site.modality else placement.modality or workload.modalities or cls.modalities
    needs = instance.needs(_NOMINAL)
    whole = placement.keep == 1.0 and not instance.is_adaptive
    return Traits(
        label=f"{placement.method}@{placement.site}",
        method=placement.method,
        mechanism=cls.mechanism,
        consumes=cls.consumes,
        query_aware=cls.query_aware,
        needs_grid=cls.needs_grid,
        needs_frames="temporal" in cls.consumes and cls.modalities == ("video",),
        keeps_grid=whole or _left(instance, placement.keep, _NOMINAL).grid is not None,
        keeps_frames=whole or _left(instance, placement.keep, _CLIP).grid is not None,
        keeps_cls=whole or _left(instance, placement.keep, _WITH_CLS).prefix == _WITH_CLS.prefix,
        reads=tuple(sorted({need.stage for need in needs if not need.relative})),
        reads_cls=any(need.query == "cls" for need in needs),
        merges=not whole and _merges(instance, site),
        site=placement.site,
        site_kind=site.kind,
        modalities=modalities,
    )


def _left(method: Pass, keep: float, layout: Layout) -> Layout:
    """What it leaves of `layout`; of a withdrawal the [CLS] token alone."""
    return Layout(0, None, layout.prefix) if method.withdraws else method.count(layout, keep)


def _merges(method: Pass, site: Site) -> bool:
    """Whether it prices a gathering of tokens into groups; eviction from a cache gathers what stays, no means."""
    if site.kind == "decoder.cache":
        return False
    return any(op.kind == "gather" for op in method.ops(_NOMINAL, _WIDTH))
