"""A pass that makes pictures smaller, as the first thing that an exported encoder does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from ...common.errors import BadInput
from ...ir.layout import Layout
from ...passes.input_pass import InputPass
from ..adapters import Adapter, Medium
from ..inputs.forms import Pictures, grid_of, pixel_size, resize
from ..inputs.sites import interpolates
from ..sites import LiveSite


class SmallerInput:
    """Resizes (M, C, H, W) pictures of one size to the grid that a pass asks for.

    Attributes:
        layout: how the tokens that remain are arranged. kept: (K,) int64, which tokens of the medium they stand for.
    """

    def __init__(self, site: LiveSite, model: Any, adapter: Adapter, modality: str, medium: Medium) -> None:
        form = adapter.input_form(model.config, modality)
        if not isinstance(site.method, InputPass) or site.method.change != "size" or type(form) is not Pictures:
            raise BadInput(
                f"{site.placement.label()} cannot be exported: of what happens before an encoder only making pictures "
                "of one size smaller can; make the input smaller before it, and plan without that pass"
            )
        self.site, self.model = site, model
        before = Layout(medium.layout.count, medium.layout.grid)
        self.layout = site.target(before)
        self.grids = grid_of(before), grid_of(self.layout)
        self.kept = site.run(before, torch.empty(1, before.count, 0), {}).index[0]

    def __call__(self, pictures: torch.Tensor) -> torch.Tensor:
        """The smaller pictures."""
        return resize(pictures, pixel_size(pictures, *self.grids))

    @contextmanager
    def interpolating(self) -> Iterator[None]:
        """While position embeddings of fixed size are interpolated."""
        if self.grids[0] == self.grids[1]:
            yield
            return
        hooks = [
            module.register_forward_pre_hook(_asked, with_kwargs=True)
            for module in self.model.modules()
            if interpolates(module)
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


def _asked(module: nn.Module, args: Any, kwargs: dict[str, Any]) -> Any:
    return args[:1], {**kwargs, "interpolate_pos_encoding": True}
