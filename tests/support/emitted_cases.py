"""Placements of every kind that is emitted, what the library makes of them, and inputs for both."""

from __future__ import annotations

from typing import Any

import torch

from foveate.ir.layout import Layout
from foveate.ir.placement import Placement
from foveate.kernels.tuning import DEFAULT, table
from foveate.passes import Tokens, create
from foveate.passes.primitives.merge import gather, merged
from foveate.runtime.emission.chains import chain_of
from foveate.runtime.emission.module import module_text
from foveate.runtime.emission.specs import EmittedSite

CASES: tuple[tuple[str, dict[str, Any], Layout, int, float], ...] = (
    ("divprune", {}, Layout.image(6, 7), 40, 0.3),
    ("norm", {}, Layout(37), 24, 0.4),
    ("norm", {"smallest": True}, Layout.image(5, 5), 33, 0.5),
    ("fastv", {}, Layout(65), 17, 0.25),
    ("fastervlm", {}, Layout.image(8, 8), 16, 0.02),
    ("uniform", {}, Layout.image(7, 9), 8, 0.4),
    ("random", {"seed": 3}, Layout(30), 8, 0.5),
    ("pool", {}, Layout.image(6, 8), 20, 0.25),
    ("pool", {}, Layout(23), 12, 0.3),
    ("a-tome-output", {}, Layout(41), 18, 0.4),
    ("a-tome", {}, Layout(41, prefix=1), 18, 0.4),
    ("tome", {}, Layout.image(5, 7), 18, 0.6),
    ("tome", {}, Layout.image(5, 7, prefix=1), 18, 0.9),
    ("representation-shift", {}, Layout.image(5, 6), 20, 0.3),
    ("representation-shift", {"distance": "l1"}, Layout(29), 24, 0.5),
    ("representation-shift", {"distance": "cosine"}, Layout(29), 24, 0.5),
    ("timechat-online", {}, Layout(60, (4, 3, 5)), 16, 0.5),
    ("timechat-online", {}, Layout(60, (4, 3, 5)), 16, 0.2),
    ("evit", {"fuse": False}, Layout.image(5, 7, prefix=1), 18, 0.6),
    ("dycoke-ttm", {}, Layout(90, (6, 3, 5)), 16, 0.5),
    ("dycoke-ttm", {}, Layout(90, (6, 3, 5)), 16, 0.1),
    ("visionzip", {}, Layout.image(7, 9), 24, 0.4),
    ("visionzip", {"contextual": 0.0}, Layout.image(5, 6), 24, 0.4),
    ("prumerge-plus", {"neighbours": 5}, Layout.image(7, 9), 24, 0.3),
    ("prumerge-plus", {"outliers": 1.0}, Layout.image(5, 6), 18, 0.1),
    ("holitom-inner", {}, Layout(60, (4, 3, 5)), 18, 0.3),
    ("dart", {}, Layout.image(5, 7), 24, 0.5),
    ("dart", {"text_pivots": 0, "media_pivots": 3}, Layout(41), 18, 0.1),
    ("cdpruner-llm-text", {}, Layout.image(5, 6), 40, 0.3),
    ("cdpruner-llm-text", {"negated": True}, Layout(23), 40, 0.5),
    ("framefusion-once", {"threshold": 0.1}, Layout(60, (4, 3, 5)), 16, 0.3),
    ("framefusion-once", {"threshold": -1.0}, Layout(60, (4, 3, 5)), 16, 0.7),
)
"""Pass, parameters, layout, channels, keep."""


def sites() -> list[EmittedSite]:
    """The cases, as if they stood in one plan."""
    found = []
    for number, (name, params, before, width, keep) in enumerate(CASES):
        method = create(name, params)
        after = method.count(before, keep)
        chain = chain_of(method, before, after)
        placement = Placement(name, "image.projector.output", keep, params=params)
        found.append(EmittedSite(number, placement, "image", before, after, width, 2, chain, None))
    return found


def text_of(dtype: str) -> str:
    """The module of all cases."""
    return module_text(sites(), dtype=dtype, table=table(DEFAULT), version="0")


def record(dtype: str) -> list[dict[str, Any]]:
    """By case: inputs of `compact_N`, and what the library's own pass gives for them."""
    return [_of_site(site, dtype) for site in sites()]


def _signal(kind: str, site: EmittedSite, dtype: torch.dtype, draws: torch.Generator) -> torch.Tensor:
    """Attention rows are float32 whatever the features are."""
    count = 6 if kind.startswith("text_") else site.before.count
    behind = {"row": (), "keys": (3, 7), "states": (site.width,)}[kind.removeprefix("text_")]
    drawn = torch.randn(2, count, *behind, generator=draws)
    return drawn if kind == "row" else drawn.to(dtype)


def _of_site(site: EmittedSite, dtype: str) -> dict[str, Any]:
    draws = torch.Generator().manual_seed(site.number)
    features = torch.randn(2, site.before.count, site.width, generator=draws).to(getattr(torch, dtype))
    method = create(site.placement.method, site.placement.params)
    assert site.chain is not None
    handed = [_signal(signal.kind, site, features.dtype, draws) for signal in site.chain.signals]
    signals = dict(zip(method.needs(site.before), handed, strict=True))
    found = method.compress(Tokens(features, site.before, signals), site.after)
    positions = torch.arange(3 * 2 * site.before.count).reshape(3, 2, -1)
    return {
        "features": features,
        "signals": handed,
        "positions": positions,
        "index": found.index,
        "hidden": merged(features, found),
        "kept_positions": torch.stack([gather(axis, found.index) for axis in positions]),
    }
