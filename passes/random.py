"""Random selection, the baseline that many designed methods fail to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..common.seeds import generator, sub_seed
from .base import EVERYWHERE, Tokens, register
from .score import ScorePass

if TYPE_CHECKING:
    import torch


@register
@dataclass(frozen=True)
class Random(ScorePass):
    """Keep a uniformly random subset, the same for every medium of a call so that batching changes nothing.

    A baseline that every study of the field should carry: it covers the picture evenly and is free.
    """

    name = "random"
    source = "baseline"
    summary = "a uniformly random subset of the tokens"
    mechanism = "similarity"
    sites = EVERYWHERE
    consumes = ("feature",)
    catalog_id = "random-drop"

    seed: int = 0

    def score(self, tokens: Tokens) -> torch.Tensor:
        """Random numbers from the plan's seed and the call's, (B, N)."""
        import torch

        rows, count = tokens.features.shape[:2]
        draws = torch.rand(count, generator=generator(sub_seed(self.seed, tokens.seed)))
        return draws.to(tokens.features.device).expand(rows, count)
