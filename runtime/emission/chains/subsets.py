"""Chains of passes that choose a subset as a whole, by what its members are to each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....kernels.pivot import MOST_PIVOTS
from .chain import KEYS, STATES, TEXT, TEXT_KEYS, Chain, at

if TYPE_CHECKING:
    from ....ir.layout import Layout
    from ....passes import Pass
    from ....passes.cdpruner_llm_text import CDPrunerLLMText
    from ....passes.dart import DART


def farthest(method: Pass, layout: Layout, target: Layout) -> Chain:
    """The greedy max-min subset."""
    index = f"farthest_subset_{{way}}(features, count={target.count})"
    return at(index, uses=(("farthest_subset", "farthest_subset"),), launches=2)


def unlike_pivots(method: DART, layout: Layout, target: Layout) -> Chain | None:
    """Tokens with the longest keys, and what is least like these and the text's such tokens."""
    if method.media_pivots + method.text_pivots > MOST_PIVOTS:
        return None
    own, signals = min(method.media_pivots, target.count), [KEYS, STATES]
    given, told = "key.flatten(2), media", f"count={target.count}, own={own}"
    if method.text_pivots:
        signals += [TEXT_KEYS, TEXT]
        # A prompt may have fewer tokens than there are pivots of its own.
        given += ", text_key.flatten(2), text"
        told += f", others=min({method.text_pivots}, text_key.shape[1])"
    index = f"unlike_key_pivots_{{way}}({given}, {told})"
    launches = 5 if method.text_pivots else 4
    return at(index, uses=(("key_pivots", "unlike_key_pivots"),), launches=launches, signals=tuple(signals))


def answering(method: CDPrunerLLMText, layout: Layout, target: Layout) -> Chain:
    """The greedy subset of the largest determinant, by similarities that are weighted by relevance to the text."""
    index = f"prompt_subset_{{way}}(features, text, count={target.count}, negated={method.negated})"
    return at(index, uses=(("prompt_subset", "prompt_subset"),), launches=4, signals=(TEXT,))
