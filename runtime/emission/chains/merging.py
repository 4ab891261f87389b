"""Chains of passes that merge tokens which are alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .chain import KEYS, MEAN_KEY, Chain, means_of

if TYPE_CHECKING:
    from ....ir.layout import Layout
    from ....passes import Pass


def chained(method: Pass, layout: Layout, target: Layout) -> Chain:
    """Means of chains of neighbours whose features are alike."""
    group = f"neighbour_chains_{{way}}(features, count={target.count})"
    return means_of(group, target.count, uses=(("neighbour_chains", "neighbour_chains"),), launches=2)


def chained_by_keys(method: Pass, layout: Layout, target: Layout) -> Chain:
    """Means of chains of neighbours whose attention keys are alike."""
    group = f"neighbour_chains_{{way}}({MEAN_KEY}, count={target.count})"
    uses = (("neighbour_chains", "neighbour_chains"),)
    return means_of(group, target.count, uses=uses, launches=3, signals=(KEYS,))


def matched(method: Pass, layout: Layout, target: Layout) -> Chain | None:
    """One round of bipartite matching; more rounds, below half of the tokens, stay in the library."""
    if 2 * target.count < layout.count:
        return None
    group = f"matched_pairs_{{way}}({MEAN_KEY}, count={target.count}, parity={layout.prefix % 2})"
    return means_of(group, target.count, uses=(("matched_pairs", "matched_pairs"),), launches=3, signals=(KEYS,))
