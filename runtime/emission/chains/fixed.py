"""Chains of passes whose indices follow from shapes alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .chain import REST, Chain

if TYPE_CHECKING:
    from ....ir.layout import Layout
    from ....passes import Pass
    from ....passes.random import Random


def evenly_spread(method: Pass, layout: Layout, target: Layout) -> Chain:
    """The tokens of an even spread."""
    from ....passes.uniform import uniform_positions

    return _at_constant(uniform_positions(layout, target.count))


def drawn(method: Random, layout: Layout, target: Layout) -> Chain:
    """The tokens that the pass's seed draws."""
    import torch

    from ....common.seeds import generator, sub_seed
    from ....kernels.top_k import top_k_torch

    draws = torch.rand(layout.count, generator=generator(sub_seed(method.seed, 0)))
    return _at_constant(tuple(top_k_torch(draws, count=target.count).tolist()))


def pooled(method: Pass, layout: Layout, target: Layout) -> Chain:
    """Means of the bins, at the positions of the central tokens."""
    from ....passes.pool import pooling_bins

    on_grid = layout.grid is not None and target.grid is not None
    grid, bins = (layout.grid, target.grid) if on_grid else ((1, 1, layout.count), (1, 1, target.count))
    means = f"pool_grid_{{way}}(features, grid={grid}, pooled={bins})"
    return Chain(
        uses=(("grid_pooling", "pool_grid"),),
        select="index",
        select_launches=0,
        compact=f"Compacted(index, {means}, at_index(positions, index), None)",
        launches=1,
        constant=pooling_bins(layout, target)[1],
        merges=True,
    )


def _at_constant(index: tuple[int, ...]) -> Chain:
    return Chain(
        uses=(("gathering", "compact_at"),),
        select="index",
        select_launches=0,
        compact=f"compact_at_{{way}}(index, {REST})",
        launches=1,
        constant=index,
    )
