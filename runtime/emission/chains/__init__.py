"""The chain of kernels that a pass becomes: which functions of `kernels/` it calls with which constants."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ....kernels.dispatch import LONGEST_ROW
from ....kernels.pivot import MOST_PIVOTS
from .chain import Chain, Signal
from .collecting import dominant_and_contextual, flowing, outliers_and_stride
from .fixed import drawn, evenly_spread, pooled
from .frames import changed, changed_in_windows, joined_over_time
from .merging import chained, chained_by_keys, matched
from .scores import best_of_signal, longest, most_attended, most_moved
from .subsets import answering, farthest, unlike_pivots

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
    "cdpruner-llm-text": answering,
    "dart": unlike_pivots,
    "visionzip": dominant_and_contextual,
    "prumerge-plus": outliers_and_stride,
    "holitom-inner": flowing,
    "framefusion-once": joined_over_time,
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
    "prumerge-plus": "a single token stays as it is, without the sum of the others",
    "dart": f"it has more than {MOST_PIVOTS} pivots",
    "fastvid": "its segments, and with them what is compared with what, are cut by what is in the clip",
    "holitom-outer": "its windows of frames are found by a search over what is in the clip",
    "pact": "its centres are opened one after the other, for as many tokens as the density asks for",
    "pact-unweighted": "its centres are opened one after the other, for as many tokens as the density asks for",
    "prunevid-merging": "its frames are clustered by what is in the clip before any token is compared",
    "sparsevlm": "no kernel takes its raters, and its density peaks run over rejects that the ratings rank first",
    "vidcom2": "no kernel takes its variances of channels, nor shares the count among frames by content",
    "vispruner": "each of its rounds ranks what the round before left",
    "vtw": "it keeps all tokens or none",
}
"""Of passes that ship: why there is no chain, or what of them has none."""


def chain_of(method: Pass, layout: Layout, target: Layout) -> Chain | None:
    """The chain of `method` from `layout` to `target`; None where the pass runs from the library."""
    build = _CHAINS.get(method.name)
    if build is None or method.is_adaptive or layout.count > LONGEST_ROW or not 0 < target.count < layout.count:
        return None
    return build(method, layout, target)


def why_not(method: Pass, layout: Layout, target: Layout) -> str:
    """Why `chain_of` gives none, as part of a sentence."""
    kind = _by_kind(method)
    if kind is not None:
        return kind
    if target.count == layout.count:
        return "it keeps every token"
    if not target.count:
        return "it keeps no token"
    if method.is_adaptive:
        return "how many tokens it keeps depends on what is in them"
    if method.name in _CHAINS and layout.count > LONGEST_ROW:
        return f"a row is longer than {LONGEST_ROW} tokens"
    return _REASONS.get(method.name, "no chain is known for this pass")


def _by_kind(method: Pass) -> str | None:
    """What keeps all passes on caches, and all on inputs, in the library."""
    from ....passes.cache_base import CachePass

    if isinstance(method, CachePass):
        return "what its layers keep of which sequence is known only in the call"
    if method.sites == ("input",):
        return "it acts on the input and not on tokens"
    return None
