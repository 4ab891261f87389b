"""Uniform selection: tokens spread evenly over the grid or the sequence."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from ..ir.layout import Layout
from ..ir.op import Op
from .base import EVERYWHERE, Compression, Pass, Tokens, register
from .primitives.select import evenly_spaced
from .score import top_k_ops

# Inverse powers of the plastic number: the two-dimensional generalisation of the golden ratio.
_LATTICE = (0.7548776662466927, 0.5698402909980532)


@register
@dataclass(frozen=True)
class Uniform(Pass):
    """Keep tokens spread as evenly as the count allows, blind to content.

    On a grid the K cells with the lowest value of a rank-1 lattice (ordered dithering), which spreads any count over
    both axes; in a sequence the centres of K equal shares.
    """

    name = "uniform"
    source = "baseline"
    summary = "tokens spread evenly over the grid or the sequence"
    mechanism = "transformation"
    sites = EVERYWHERE
    consumes = ("feature", "spatial")

    def ops(self, layout: Layout, width: int) -> tuple[Op, ...]:
        """Ranking the cells; the indices depend on shapes alone."""
        return top_k_ops()

    def compress(self, tokens: Tokens, target: Layout) -> Compression:
        """The same evenly spread indices for every medium."""
        import torch

        positions = torch.tensor(uniform_positions(tokens.layout, target.count), device=tokens.features.device)
        return Compression(positions.expand(tokens.features.shape[0], target.count))


@cache
def uniform_positions(layout: Layout, count: int) -> tuple[int, ...]:
    """The sorted positions of `count` tokens spread evenly over `layout`."""
    if layout.grid is None or layout.grid[0] > count:
        return tuple(evenly_spaced(layout.count, count))
    frames, height, width = layout.grid
    ranked = sorted(range(height * width), key=lambda cell: _lattice(cell // width, cell % width))
    kept: list[int] = []
    for frame in range(frames):
        share = (frame + 1) * count // frames - frame * count // frames
        kept += sorted(frame * height * width + cell for cell in ranked[:share])
    return tuple(kept)


def _lattice(row: int, column: int) -> float:
    """Value of the lattice at a cell, in [0, 1); any threshold on it leaves evenly spread cells."""
    return (row * _LATTICE[0] + column * _LATTICE[1]) % 1.0
