"""Chains of passes that keep the highest of one score for each token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .chain import BEFORE, ROW, Chain, best_of

if TYPE_CHECKING:
    from ....ir.layout import Layout
    from ....passes import Pass
    from ....passes.evit import EViT
    from ....passes.norm import Norm
    from ....passes.representation_shift import RepresentationShift


def best_of_signal(method: Pass, layout: Layout, target: Layout) -> Chain:
    """A score that the runtime reads from the model."""
    return best_of("row", target.count, signals=(ROW,))


def most_attended(method: EViT, layout: Layout, target: Layout) -> Chain | None:
    """What [CLS] attends to; with a fused token the choice stays in the library."""
    return None if method.fuse and target.count > 1 else best_of_signal(method, layout, target)


def longest(method: Norm, layout: Layout, target: Layout) -> Chain:
    """The length of each token."""
    score = f"token_norm_{{way}}(features, negated={method.smallest})"
    return best_of(score, target.count, uses=(("token_norm", "token_norm"),), launches=1)


def most_moved(method: RepresentationShift, layout: Layout, target: Layout) -> Chain:
    """How far the last MLP moved each token."""
    score = f"token_shift_{{way}}(features, before, distance={method.distance!r})"
    return best_of(score, target.count, uses=(("token_shift", "token_shift"),), launches=1, signals=(BEFORE,))
