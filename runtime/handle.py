"""Applying a plan to a live model, and taking it off again."""

from __future__ import annotations

import os
import weakref
from types import TracebackType
from typing import TYPE_CHECKING

from ..common.errors import BadInput
from ..ir.plan import Plan, load
from .adapters import adapter_of
from .session import Session
from .sites import LiveSite, live_site, release
from .support import check_fits

if TYPE_CHECKING:
    import torch
    from torch import nn

_APPLIED: weakref.WeakSet[nn.Module] = weakref.WeakSet()


class Handle:
    """A plan on a model; also a context manager that takes the plan off at its end, whatever happens inside.

    Attributes:
        plan: the plan that is applied.
    """

    def __init__(self, model: nn.Module, plan: Plan, *, forced: bool) -> None:
        self.plan = plan
        adapter = adapter_of(model.config)
        self._model = weakref.ref(model)
        self._sites: list[LiveSite] = []
        self._removed = False
        try:
            for placement in plan.placements:
                self._sites.append(live_site(placement, model, adapter, model.config))
            self._session = Session(model, adapter, self._sites, forced=forced)
            self._hooks = self._session.hook() if plan.placements else []
        except BaseException:
            self._release()
            raise

    @property
    def selections(self) -> dict[str, torch.Tensor]:
        """By site, what the last prefill kept: (media, K) int64, sorted indices in the site's uncompressed stream."""
        return self._session.selections

    @property
    def positions(self) -> torch.Tensor | None:
        """(B, L') int64, the original place of each position of the last prefill's compressed sequence."""
        return self._session.positions

    def remove(self) -> None:
        """Take the plan off; the model is as it was. Removing twice does nothing."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        self._release()
        model = self._model()
        if model is not None and not self._removed:
            _APPLIED.discard(model)
        self._removed = True

    def __enter__(self) -> Handle:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def _release(self) -> None:
        for site in self._sites:
            release(site)


def apply(model: nn.Module, plan: Plan | str | os.PathLike[str], *, force_compaction: bool = False) -> Handle:
    """Run `plan` inside `model` from now on, until the handle is removed or its context is left.

    Args:
        model: a live transformers model; its weights and its attention implementation are not touched.
        plan: a plan, or the path of a plan file.
        force_compaction: run the passes that keep every token too (they change nothing; used by tests).

    Raises:
        BadInput: the plan does not fit the model (field and mend are named), or a plan is already applied.
    """
    found = load(plan)
    check_fits(found, model)
    if model in _APPLIED:
        raise BadInput("a plan is already applied to this model; call remove() on its handle first")
    handle = Handle(model, found, forced=force_compaction)
    _APPLIED.add(model)
    return handle
