"""What a chain of kernels is: expressions that an emitted module evaluates for one placement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

REST = "features, positions=positions, sizes=sizes"
"""What `compact_N` moves, in the call of a kernel that gathers."""


@dataclass(frozen=True)
class Signal:
    """One signal that the pass hands in, in the order of its `needs`.

    Attributes:
        name: of the argument in the emitted functions.
        kind: `row` is (B, N) float32; in the module's dtype `keys` are (B, N, heads, width of a head) and `states`
            (B, N, D).
    """

    name: str
    kind: Literal["row", "keys", "states"]


ROW, KEYS, BEFORE = Signal("row", "row"), Signal("key", "keys"), Signal("before", "states")


@dataclass(frozen=True)
class Chain:
    """How one placement is computed, as expressions over `features`, its signals, `positions` and `sizes`.

    In an expression `{way}` stands for `triton` or `torch`, the ending of the function that is called, and `{number}`
    for the placement's.

    Attributes:
        uses: (module of `kernels/`, function without its ending) of what the expressions call.
        select: expression of the (B, K) indices. select_launches: launches that it takes on a GPU.
        compact: expression of a `Compacted` of what goes on. launches: launches that it takes.
        signals: what the pass hands in.
        constant: the indices, where they follow from shapes alone.
        tables: numbers that follow from shapes alone, by the name that the expressions give them; whole numbers become
            int64 tensors, others float32.
        merges: whether `compact` gives means of groups instead of the kept tokens; it then takes no `sizes`.
        group: expression of the indices and the (B, N) group of each token, where a merging pass groups by content.
    """

    uses: tuple[tuple[str, str], ...]
    select: str
    select_launches: int
    compact: str
    launches: int
    signals: tuple[Signal, ...] = ()
    constant: tuple[int, ...] | None = None
    tables: tuple[tuple[str, tuple[float, ...]], ...] = ()
    merges: bool = False
    group: str | None = None


def best_of(
    score: str,
    count: int,
    *,
    uses: tuple[tuple[str, str], ...] = (),
    launches: int = 0,
    signals: tuple[Signal, ...] = (),
) -> Chain:
    """The `count` highest of a (B, N) score: ranking, compacting and gathering are one launch.

    Args:
        score: its expression. uses, launches: what it calls and how many launches it takes. signals: what it reads.
    """
    return Chain(
        uses=(*uses, ("top_k", "top_k"), ("compaction", "compact_top_k")),
        select=f"top_k_{{way}}({score}, count={count})",
        select_launches=launches + 1,
        compact=f"compact_top_k_{{way}}({score}, {REST}, count={count})",
        launches=launches + 1,
        signals=signals,
    )


def at(index: str, *, uses: tuple[tuple[str, str], ...], launches: int) -> Chain:
    """The tokens at sorted indices that other kernels find in `launches` launches."""
    return Chain(
        uses=(*uses, ("gathering", "compact_at")),
        select=index,
        select_launches=launches,
        compact=f"compact_at_{{way}}({index}, {REST})",
        launches=launches + 1,
    )


def means_of(
    group: str, count: int, *, uses: tuple[tuple[str, str], ...], launches: int, signals: tuple[Signal, ...] = ()
) -> Chain:
    """The means of `count` groups, at the positions of their representatives.

    Args:
        group: expression of the (B, K) representatives and the (B, N) group of each token.
        uses, launches: what it calls and how many launches it takes. signals: what it reads.
    """
    handed = "".join(f", {signal.name}" for signal in signals)
    means = f"segmented_mean_{{way}}(features, assign, groups={count})[0]"
    return Chain(
        uses=(*uses, ("segmented_mean", "segmented_mean")),
        select=f"group_{{number}}(features{handed})[0]",
        select_launches=launches,
        compact=f"Compacted(index, {means}, at_index(positions, index), None)",
        launches=launches + 1,
        signals=signals,
        merges=True,
        group=group,
    )
