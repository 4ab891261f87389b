"""Applying a plan to a live model, and taking it off again."""

from __future__ import annotations

import os
import weakref
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..common.errors import BadInput
from ..ir.plan import Plan, load
from .adapters import adapter_of, live_part
from .session import Session
from .sites import LiveSite, live_site, release
from .support import check_fits

if TYPE_CHECKING:
    import torch
    from torch import nn

    from .emission import Emitted

_APPLIED: weakref.WeakSet[nn.Module] = weakref.WeakSet()


class Handle:
    """A plan on a model; also a context manager that takes the plan off at its end, whatever happens inside.

    Nothing else holds a handle: one that is dropped takes its plan off as `remove()` does.

    Attributes:
        plan: the plan that is applied.
    """

    def __init__(self, model: nn.Module, plan: Plan, *, forced: bool, emitted: Emitted | None = None) -> None:
        self.plan = plan
        adapter = adapter_of(model.config)
        sites: list[LiveSite] = []
        hooks: list[Any] = []
        try:
            for placement in plan.placements:
                sites.append(live_site(placement, model, adapter, model.config))
                if emitted is not None:
                    sites[-1].method = emitted.faster(sites[-1].method, site=placement.site)
            self._session = Session(model, adapter, sites, forced=forced)
            hooks += self._session.hook() if plan.placements else []
        except BaseException:
            _take_off(hooks, sites, None)
            raise
        self._finalizer = weakref.finalize(self, _take_off, hooks, sites, weakref.ref(model))
        self._finalizer.atexit = False

    @property
    def selections(self) -> dict[str, torch.Tensor]:
        """By site, what the last prefill kept: (media, K) int64, sorted indices in the site's uncompressed stream."""
        return self._session.selections

    @property
    def positions(self) -> torch.Tensor | None:
        """(B, L') int64, the original place of each position of the last prefill's compressed sequence."""
        return self._session.positions

    @property
    def cached(self) -> dict[int, torch.Tensor]:
        """By decoder layer, what the last prefill left in its cache where entries were evicted.

        (B, key-value heads, P) int64 original places, sorted; rows that hold fewer are filled with -1.
        """
        return self._session.cached

    def remove(self) -> None:
        """Take the plan off; the model is as it was. Removing twice does nothing."""
        self._finalizer()

    def __enter__(self) -> Handle:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()


def _take_off(hooks: list[Any], sites: list[LiveSite], model: weakref.ref[nn.Module] | None) -> None:
    """Remove hooks and taps, and forget that the model has a plan."""
    for hook in hooks:
        hook.remove()
    for site in sites:
        release(site)
    alive = None if model is None else model()
    if alive is not None:
        _APPLIED.discard(alive)


def apply(
    model: nn.Module,
    plan: Plan | str | os.PathLike[str],
    *,
    force_compaction: bool = False,
    kernels: str | os.PathLike[str] | None = None,
) -> Handle:
    """Run `plan` inside `model` from now on, until the handle is removed or dropped, or its context is left.

    Args:
        model: a live transformers model; its weights and its attention implementation are not touched. In an omni
            model the plan runs in its thinker.
        plan: a plan, or the path of a plan file.
        force_compaction: run the passes that keep every token too (they change nothing; used by tests).
        kernels: a folder that `foveate emit` wrote for this plan; its kernels serve media of the shapes that they were
            emitted for, and the passes themselves all others. Its module is Python code: name only a folder you trust.

    Raises:
        BadInput: the plan does not fit the model (field and mend are named), a plan is already applied, or the kernels
            are another plan's or were changed.
    """
    found, model = load(plan), live_part(model)
    check_fits(found, model)
    if model in _APPLIED:
        raise BadInput("a plan is already applied to this model; call remove() on its handle first")
    emitted = None
    if kernels is not None:
        from .emission import load as load_kernels

        emitted = load_kernels(kernels, found)
    handle = Handle(model, found, forced=force_compaction, emitted=emitted)
    _APPLIED.add(model)
    return handle
