"""Representation shift: tokens that a layer's MLP changes most matter most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..common.errors import BadInput
from ..ir.layout import Layout
from ..ir.op import Op
from ..ir.signal import Need, before_mlp
from .base import Tokens, register
from .primitives.costs import row_ops
from .score import ScorePass

if TYPE_CHECKING:
    import torch

DISTANCES = ("l2", "l1", "cosine")


@register
@dataclass(frozen=True)
class RepresentationShift(ScorePass):
    """Keep the tokens that moved farthest through the last layer's MLP (arXiv:2508.00367).

    The score is the distance between a token before and after the MLP of the layer that ends at the site, its residual
    connection included: L2 as published, or `distance` l1 or cosine. No attention map is needed.
    """

    name = "representation-shift"
    source = "arXiv:2508.00367"
    summary = "keep the tokens that the last MLP of the encoder changed most"
    mechanism = "similarity"
    sites = ("encoder.layer",)
    consumes = ("feature", "attention")
    catalog_id = "representation-shift"

    distance: str = "l2"

    def needs(self, layout: Layout) -> tuple[Need, ...]:
        """The states that entered the MLP.

        Raises:
            BadInput: `distance` is not one of DISTANCES.
        """
        if self.distance not in DISTANCES:
            raise BadInput(f"distance is {self.distance!r}; it must be {', '.join(DISTANCES[:-1])} or {DISTANCES[-1]}")
        return (before_mlp(),)

    def score_ops(self, layout: Layout, width: int) -> tuple[Op, ...]:
        """One difference and its norm."""
        return (row_ops("shift", width),)

    def score(self, tokens: Tokens) -> torch.Tensor:
        """How far each token moved, (B, N)."""
        from torch.nn.functional import cosine_similarity

        after, before = tokens.features.float(), tokens.signal(before_mlp()).float()
        if self.distance == "cosine":
            return 1 - cosine_similarity(after, before, dim=-1)
        moved: torch.Tensor = (after - before).norm(p=1 if self.distance == "l1" else 2, dim=-1)
        return moved
