"""The chain of kernels that a pass becomes: which functions of `kernels/` it calls with which constants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...ir.layout import Layout
from ...kernels.dispatch import LONGEST_ROW
from ...passes import Pass

if TYPE_CHECKING:
    from ...passes.norm import Norm
    from ...passes.random import Random


@dataclass(frozen=True)
class Chain:
    """How one placement is computed, as expressions over `features`, `row` (its signal), `positions` and `sizes`.

    In an expression `{way}` stands for `triton` or `torch`, the ending of the function that is called, and `{number}`
    for the placement's.

    Attributes:
        uses: (module of `kernels/`, function without its ending) of what the expressions call.
        select: expression of the (B, K) indices. select_launches: launches that it takes on a GPU.
        compact: expression of a `Compacted` of what goes on. launches: launches that it takes.
        signals: how many signals the pass hands in (0, or 1: a score for each token).
        constant: the indices, where they follow from shapes alone.
        merges: whether `compact` gives means of groups instead of the kept tokens; it then takes no `sizes`.
        group: expression of the indices and the (B, N) group of each token, where a merging pass groups by content.
    """

    uses: tuple[tuple[str, str], ...]
    select: str
    select_launches: int
    compact: str
    launches: int
    signals: int = 0
    constant: tuple[int, ...] | None = None
    merges: bool = False
    group: str | None = None


_REST = "features, positions=positions, sizes=sizes"


def chain_of(method: Pass, layout: Layout, target: Layout) -> Chain | None:
    """The chain of `method` from `layout` to `target`; None where the pass runs from the library."""
    build = _CHAINS.get(method.name)
    if build is None or layout.count > LONGEST_ROW or not 0 < target.count < layout.count:
        return None
    return build(method, layout, target)


def why_not(method: Pass, layout: Layout, target: Layout) -> str:
    """Why `chain_of` gives none, as part of a sentence."""
    if target.count == layout.count:
        return "it keeps every token"
    if not target.count:
        return "it keeps no token"
    if method.name in _CHAINS:
        return f"a row is longer than {LONGEST_ROW} tokens"
    return "no chain is known for this pass"


def _best_of_signal(method: Pass, layout: Layout, target: Layout) -> Chain:
    """A score that the runtime reads from the model: ranking, compacting and gathering are one launch."""
    return Chain(
        uses=(("top_k", "top_k"), ("compaction", "compact_top_k")),
        select=f"top_k_{{way}}(row, count={target.count})",
        select_launches=1,
        compact=f"compact_top_k_{{way}}(row, {_REST}, count={target.count})",
        launches=1,
        signals=1,
    )


def _longest(method: Norm, layout: Layout, target: Layout) -> Chain:
    row, count = f"token_norm_{{way}}(features, negated={method.smallest})", target.count
    return Chain(
        uses=(("token_norm", "token_norm"), ("top_k", "top_k"), ("compaction", "compact_top_k")),
        select=f"top_k_{{way}}({row}, count={count})",
        select_launches=2,
        compact=f"compact_top_k_{{way}}({row}, {_REST}, count={count})",
        launches=2,
    )


def _farthest(method: Pass, layout: Layout, target: Layout) -> Chain:
    select = f"farthest_subset_{{way}}(features, count={target.count})"
    return Chain(
        uses=(("farthest_subset", "farthest_subset"), ("gathering", "compact_at")),
        select=select,
        select_launches=2,
        compact=f"compact_at_{{way}}({select}, {_REST})",
        launches=3,
    )


def _at_constant(index: tuple[int, ...]) -> Chain:
    return Chain(
        uses=(("gathering", "compact_at"),),
        select="index",
        select_launches=0,
        compact=f"compact_at_{{way}}(index, {_REST})",
        launches=1,
        constant=index,
    )


def _uniform(method: Pass, layout: Layout, target: Layout) -> Chain:
    from ...passes.uniform import uniform_positions

    return _at_constant(uniform_positions(layout, target.count))


def _random(method: Random, layout: Layout, target: Layout) -> Chain:
    import torch

    from ...common.seeds import generator, sub_seed
    from ...kernels.top_k import top_k_torch

    draws = torch.rand(layout.count, generator=generator(sub_seed(method.seed, 0)))
    return _at_constant(tuple(top_k_torch(draws, count=target.count).tolist()))


def _pooled(method: Pass, layout: Layout, target: Layout) -> Chain:
    """Means of the bins, at the positions of the central tokens."""
    from ...passes.pool import pooling_bins

    on_grid = layout.grid is not None and target.grid is not None
    grid, bins = (layout.grid, target.grid) if on_grid else ((1, 1, layout.count), (1, 1, target.count))
    pooled = f"pool_grid_{{way}}(features, grid={grid}, pooled={bins})"
    return Chain(
        uses=(("grid_pooling", "pool_grid"),),
        select="index",
        select_launches=0,
        compact=f"Compacted(index, {pooled}, at_index(positions, index), None)",
        launches=1,
        constant=pooling_bins(layout, target)[1],
        merges=True,
    )


def _chained(method: Pass, layout: Layout, target: Layout) -> Chain:
    """Means of chains of neighbours, at the positions of their first tokens."""
    group, mean = f"neighbour_chains_{{way}}(features, count={target.count})", "segmented_mean_{way}"
    means = f"{mean}(features, assign, groups={target.count})[0]"
    return Chain(
        uses=(("neighbour_chains", "neighbour_chains"), ("segmented_mean", "segmented_mean")),
        select="group_{number}(features)[0]",
        select_launches=2,
        compact=f"Compacted(index, {means}, at_index(positions, index), None)",
        launches=3,
        merges=True,
        group=group,
    )


_CHAINS: dict[str, Callable[..., Chain]] = {
    **dict.fromkeys(("fastervlm", "fastv", "pyramiddrop", "topk-audio", "topk-audio-mean"), _best_of_signal),
    "norm": _longest,
    "divprune": _farthest,
    "uniform": _uniform,
    "random": _random,
    "pool": _pooled,
    "a-tome-output": _chained,
}
"""By the pass's name. A pass that is not here, or that acts where shapes are not the plan's, runs from the library."""
