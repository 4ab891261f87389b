"""An oracle selector for the testbed: it is told which tokens hold the answer's evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from foveate.passes import Tokens, register
from foveate.passes.score import ScorePass
from foveate.testbed import Sample
from foveate.testbed.scenes import GRID, PATCH_SIZE
from foveate.testbed.video.sampling import VideoSample, evidence_tokens


@register
@dataclass(frozen=True)
class Oracle(ScorePass):
    """Keep the tokens that hold what a question is about; fill up at random."""

    name = "oracle"
    source = "benchmark"
    summary = "the tokens of the objects that are asked about, filled up at random"
    mechanism = "query"
    query_aware = True

    wanted: ClassVar[Sequence[torch.Tensor]] = ()
    seed: ClassVar[int] = 0

    @classmethod
    def aim(cls, wanted: Sequence[torch.Tensor], *, seed: int) -> None:
        """Set which tokens of each medium of the next call hold the evidence, (N,) bool."""
        cls.wanted, cls.seed = wanted, seed

    def score(self, tokens: Tokens) -> torch.Tensor:
        """Tokens with evidence first, then random numbers, (B, N)."""
        generator = torch.Generator().manual_seed(self.seed)
        noise = torch.rand(len(self.wanted), tokens.layout.count, generator=generator)
        return torch.stack(list(self.wanted)) * 2 + noise


def evidence(sample: Sample | VideoSample) -> torch.Tensor:
    """Which tokens of a sample's picture or clip lie under the boxes that its question is about, (N,) bool."""
    if isinstance(sample, VideoSample):
        return torch.from_numpy(evidence_tokens(sample.boxes, least=0.1))
    share = torch.zeros(GRID, GRID)
    for left, top, right, bottom in sample.boxes:
        share = torch.maximum(share, _overlap(top, bottom)[:, None] * _overlap(left, right)[None])
    return share.reshape(-1) > 0.1


def _overlap(start: float, end: float) -> torch.Tensor:
    """The share of each patch that lies between start and end, along one axis."""
    edges = torch.arange(GRID) * float(PATCH_SIZE)
    return ((edges + PATCH_SIZE).clamp(max=end) - edges.clamp(min=start)).clamp(min=0) / PATCH_SIZE
