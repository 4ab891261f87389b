"""The chain of kernels that a pass becomes: which functions of `kernels/` it calls with which constants."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ....kernels.dispatch import LONGEST_ROW
from .chain import Chain, Signal
from .fixed import drawn, evenly_spread, pooled
from .frames import changed, changed_in_windows
from .merging import chained, chained_by_keys, matched
from .scores import best_of_signal, longest, most_attended, most_moved
from .subsets import farthest

if TYPE_CHECKING:
    from ....ir.layout import Layout
    from ....passes import Pass

__all__ = ["Chain", "Signal", "chain_of", "why_not"]

_CHAINS: dict[str, Callable[..., Chain | None]] = {
    **dict.fromkeys(("fastervlm", "fastv", "pyramiddrop", "topk-audio", "topk-audio-mean"), best_of_signal),
    "evit": most_attended,
    "norm": longest,
    "representation-shift": most_moved,
    "timechat-online": changed,
    "dycoke-ttm": changed_in_windows,
    "divprune": farthest,
    "uniform": evenly_spread,
    "random": drawn,
    "pool": pooled,
    "a-tome-output": chained,
    "a-tome": chained_by_keys,
    "tome": matched,
}
"""By the pass's name. A pass that is not here, or that acts where shapes are not the plan's, runs from the library."""

_REASONS = {
    "tome": "below half of the tokens it matches in rounds, each with the keys of what merged before",
    "evit": "its fused token is a sum over all others, which no kernel takes together with the choice",
    "vispruner": "each of its rounds ranks what the round before left",
    "pact-unweighted": "its centres are opened one after the other, for as many tokens as the density asks for",
    "vtw": "it keeps all tokens or none",
}


def chain_of(method: Pass, layout: Layout, target: Layout) -> Chain | None:
    """The chain of `method` from `layout` to `target`; None where the pass runs from the library."""
    build = _CHAINS.get(method.name)
    if build is None or method.is_adaptive or layout.count > LONGEST_ROW or not 0 < target.count < layout.count:
        return None
    return build(method, layout, target)


def why_not(method: Pass, layout: Layout, target: Layout) -> str:
    """Why `chain_of` gives none, as part of a sentence."""
    if target.count == layout.count:
        return "it keeps every token"
    if not target.count:
        return "it keeps no token"
    if method.is_adaptive:
        return "how many tokens it keeps depends on what is in them"
    if method.name in _CHAINS and layout.count > LONGEST_ROW:
        return f"a row is longer than {LONGEST_ROW} tokens"
    return _REASONS.get(method.name, "no chain is known for this pass")
