"""Chains of passes whose kept tokens collect those that do not go on."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .chain import KEYS, MEAN_KEY, ROW, Chain, best_of, combined

if TYPE_CHECKING:
    from ....ir.layout import Layout
    from ....passes import Pass
    from ....passes.prumerge_plus import PruMergePlus
    from ....passes.visionzip import VisionZip

_USES = (
    ("strided_choice", "strided_choice"),
    ("anchor_joining", "join_anchors"),
    ("anchored_mean", "anchored_mean"),
)


def dominant_and_contextual(method: VisionZip, layout: Layout, target: Layout) -> Chain:
    """The most attended tokens, and evenly strided others that the rest join by the likeness of keys."""
    contextual = math.floor(method.contextual * target.count + 0.5)
    dominant = target.count - contextual
    if not contextual:
        return best_of("row", target.count, signals=(ROW, KEYS))
    step = (layout.count - dominant) // contextual
    chosen = f"strided_choice_{{way}}(row, best={dominant}, strided={contextual}, step=({step}, 1))"
    return combined(
        f"index, join_anchors_{{way}}({MEAN_KEY}, anchors, place)",
        "anchored_mean_{way}(features, index, assign)",
        steps=(f"index, anchors, place = {chosen}",),
        select=f"{chosen}[0]",
        uses=_USES,
        launches=(1, 3),
        signals=(ROW, KEYS),
    )


def flowing(method: Pass, layout: Layout, target: Layout) -> Chain:
    """The most attended tokens, into the most similar of which each other flows by halves."""
    chosen = f"strided_choice_{{way}}(row, best={target.count}, strided=0)"
    return combined(
        "index, join_anchors_{way}(features, index, place)",
        "anchored_mean_{way}(features, index, assign, halving=True)",
        steps=(f"index, _, place = {chosen}",),
        select=f"top_k_{{way}}(row, count={target.count})",
        uses=(("top_k", "top_k"), *_USES),
        launches=(1, 2),
        signals=(ROW,),
    )


def outliers_and_stride(method: PruMergePlus, layout: Layout, target: Layout) -> Chain | None:
    """The most attended tokens and a stride, each with its neighbours added, and the sum of all others."""
    if target.count == 1:
        return None
    outliers = math.floor(method.outliers * (target.count - 1) + 0.5)
    strided = target.count - 1 - outliers
    step = f"({layout.count - outliers}, {max(1, strided)})"
    chosen = f"strided_choice_{{way}}(row, best={outliers}, strided={strided}, step={step}, last=True)"
    near = f"key.flatten(2), row, index, last, assign, neighbours={method.neighbours}"
    return combined(
        f"index, assign, neighbour_weights_{{way}}({near})",
        "mix_tokens_{way}(weight, features)",
        steps=(f"index, last, assign = {chosen}",),
        select=f"{chosen}[0]",
        uses=(_USES[0], ("neighbour_weights", "neighbour_weights"), ("mixing", "mix_tokens")),
        launches=(1, 2),
        signals=(ROW, KEYS),
        parts=("index", "assign", "weight"),
    )
