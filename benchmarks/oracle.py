"""An oracle selector for the testbed: it is told which boxes the question is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from foveate.passes import Tokens, register
from foveate.passes.score import ScorePass
from foveate.testbed.scenes import PATCH_SIZE


@register
@dataclass(frozen=True)
class Oracle(ScorePass):
    """Keep the patches under the boxes that a question is about; fill up at random."""

    name = "oracle"
    source = "benchmark"
    summary = "the tokens of the objects that are asked about, filled up at random"
    mechanism = "query"
    query_aware = True

    boxes: ClassVar[Sequence[Any]] = ()
    seed: ClassVar[int] = 0

    @classmethod
    def aim(cls, boxes: Sequence[Any], *, seed: int) -> None:
        """Set the boxes of each picture of the next call, in pixels (left, top, right, bottom)."""
        cls.boxes, cls.seed = boxes, seed

    def score(self, tokens: Tokens) -> torch.Tensor:
        """The share of each patch that a box covers, then random numbers, (B, N)."""
        grid = tokens.layout.grid
        if grid is None:
            raise ValueError("the oracle needs a grid")
        generator = torch.Generator().manual_seed(self.seed)
        noise = torch.rand(len(self.boxes), tokens.layout.count, generator=generator)
        covered = torch.stack([_covered(boxes, grid[1], grid[2]) for boxes in self.boxes])
        return (covered > 0.1) * 2 + noise


def _covered(boxes: Sequence[Any], height: int, width: int) -> torch.Tensor:
    share = torch.zeros(height, width)
    for left, top, right, bottom in boxes:
        columns = _overlap(width, left, right)
        rows = _overlap(height, top, bottom)
        share = torch.maximum(share, rows[:, None] * columns[None])
    return share.reshape(-1)


def _overlap(cells: int, start: float, end: float) -> torch.Tensor:
    """The share of each cell that lies between start and end, along one axis."""
    edges = torch.arange(cells) * float(PATCH_SIZE)
    return ((edges + PATCH_SIZE).clamp(max=end) - edges.clamp(min=start)).clamp(min=0) / PATCH_SIZE
