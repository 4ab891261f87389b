"""Chains of passes that choose a subset as a whole, by what its members are to each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .chain import Chain, at

if TYPE_CHECKING:
    from ....ir.layout import Layout
    from ....passes import Pass


def farthest(method: Pass, layout: Layout, target: Layout) -> Chain:
    """The greedy max-min subset."""
    index = f"farthest_subset_{{way}}(features, count={target.count})"
    return at(index, uses=(("farthest_subset", "farthest_subset"),), launches=2)
