"""Running a live model's passes on emitted kernels."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import ModuleType

import torch

from ...common.errors import BadInput
from ...ir.layout import Layout
from ...ir.op import Op
from ...ir.plan import Plan
from ...ir.signal import Need
from ...passes import Compression, Pass, Tokens
from ...passes.primitives.merge import merged
from .manifest import MODULE, Manifest, SiteRecord, plan_fingerprint, read_manifest


@dataclass(frozen=True)
class Emitted:
    """An emitted folder, its hashes checked and its module imported.

    Attributes:
        manifest: what the folder says of itself. module: its functions.
    """

    manifest: Manifest
    module: ModuleType

    def faster(self, method: Pass, *, site: str) -> Pass:
        """`method` on the kernels that were emitted for it at `site`; itself where none were."""
        mine = [
            record
            for record in self.manifest.sites
            if record.way == "emitted" and (record.site, record.method) == (site, method.name)
        ]
        return EmittedPass(method, self.module, mine, self.manifest.dtype) if mine else method


def load(folder: str | os.PathLike[str], plan: Plan) -> Emitted:
    """The kernels in `folder`, which must have been emitted for what `plan` does.

    Raises:
        BadInput: no such folder, a changed file, or the kernels of another plan.
    """
    place = Path(folder)
    manifest = read_manifest(place)
    if manifest.plan != plan_fingerprint(plan):
        raise BadInput(f"the kernels in {place} were emitted for another plan; emit this one with `foveate emit`.")
    return Emitted(manifest, _imported(place.resolve() / MODULE, manifest.files[MODULE]))


@cache
def _imported(path: Path, digest: str) -> ModuleType:
    """The module at `path`, whose hash is `digest`; kept, since its kernels are compiled at their first launch."""
    return module_at(path)


def module_at(path: Path) -> ModuleType:
    """The module at `path`, imported under no name that others could find."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise BadInput(f"{path} is no Python file; emit the plan again.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class EmittedPass(Pass):
    """A pass whose choice is made by emitted kernels where shapes are those that were emitted, else by itself."""

    summary = "a pass on emitted kernels"
    source = "foveate"
    mechanism = "transformation"

    def __init__(self, method: Pass, module: ModuleType, records: list[SiteRecord], dtype: str) -> None:
        self.method, self.module, self.records = method, module, records
        self.dtype: torch.dtype = getattr(torch, dtype)
        self.served = 0

    @property
    def name(self) -> str:  # type: ignore[override]
        """The pass's own name."""
        return self.method.name

    @property
    def weighs_attention(self) -> bool:
        """As the pass itself."""
        return self.method.weighs_attention

    def count(self, layout: Layout, keep: float) -> Layout:
        """As the pass itself."""
        return self.method.count(layout, keep)

    def needs(self, layout: Layout) -> tuple[Need, ...]:
        """As the pass itself."""
        return self.method.needs(layout)

    def ops(self, layout: Layout, width: int) -> tuple[Op, ...]:
        """As the pass itself."""
        return self.method.ops(layout, width)

    def compress(self, tokens: Tokens, target: Layout) -> Compression:
        """The emitted choice, or the pass's own for other shapes; `served` counts the former."""
        site = next((record for record in self.records if self._fits(record, tokens, target)), None)
        if site is None:
            return self.method.compress(tokens, target)
        self.served += 1
        signals = [tokens.signal(need) for need in self.method.needs(tokens.layout)]
        if site.groups:
            return self._grouped(site, getattr(self.module, f"group_{site.number}")(tokens.features, *signals))
        if site.merges:
            return self._pooled(site, tokens, target)
        return Compression(getattr(self.module, f"select_{site.number}")(tokens.features, *signals))

    def _fits(self, site: SiteRecord, tokens: Tokens, target: Layout) -> bool:
        """Whether `site` was emitted for tokens such as these."""
        shapes = (tokens.layout.count, tokens.layout.grid, target.count, *tokens.features.shape[1:])
        emitted = (site.tokens_in, site.grid, site.tokens_out, site.tokens_in, site.width)
        if site.prefix not in (None, tokens.layout.prefix) or (site.merges and tokens.sizes is not None):
            return False
        return shapes == emitted and tokens.features.dtype == self.dtype and tokens.seed == 0

    def _grouped(self, site: SiteRecord, parts: tuple[torch.Tensor, ...]) -> Compression:
        """The emitted groups, and what makes of them what goes on."""
        if not site.combines:
            index, assign, *weight = parts
            return Compression(index, assign, weight[0] if weight else None)
        combine = getattr(self.module, f"combine_{site.number}")
        return Compression(parts[0], parts[1], combine=lambda features: combine(features, *parts))

    def _pooled(self, site: SiteRecord, tokens: Tokens, target: Layout) -> Compression:
        """The pass's own groups, whose means the emitted kernel takes."""
        found = self.method.compress(tokens, target)
        compact = getattr(self.module, f"compact_{site.number}")

        def combine(features: torch.Tensor) -> torch.Tensor:
            # What is carried beside the stream may have other channels, and is pooled by the library.
            if features.shape[1:] != tokens.features.shape[1:] or features.dtype != self.dtype:
                return merged(features, found)
            means: torch.Tensor = compact(features).hidden
            return means

        return replace(found, combine=combine)
