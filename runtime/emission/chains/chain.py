"""What a chain of kernels is: expressions that an emitted module evaluates for one placement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

REST = "features, positions=positions, sizes=sizes"
"""What `compact_N` moves, in the call of a kernel that gathers."""

MEAN_KEY = "key.mean(dim=2, dtype=torch.float32)"
"""The mean of the signal KEYS over the heads, one launch of torch's own."""


@dataclass(frozen=True)
class Signal:
    """One signal that the pass hands in, in the order of its `needs`.

    Attributes:
        name: of the argument in the emitted functions.
        kind: `row` is (B, N) float32; in the module's dtype `keys` are (B, N, heads, width of a head) and `states`
            (B, N, D); `text_keys` and `text_states` have T text tokens in place of the N, as many as the prompt has.
    """

    name: str
    kind: Literal["row", "keys", "states", "text_keys", "text_states"]


ROW, KEYS, BEFORE = Signal("row", "row"), Signal("key", "keys"), Signal("before", "states")
STATES, TEXT_KEYS, TEXT = Signal("media", "states"), Signal("text_key", "text_keys"), Signal("text", "text_states")


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
        group: expression of the `parts`, where a merging pass groups by content: the indices, the (B, N) group of each
            token, and what `combine` reads beside them. steps: assignments that stand before it.
        combine: expression of what goes on, over `features` and the `parts`, where that is no mean of groups.
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
    steps: tuple[str, ...] = ()
    parts: tuple[str, ...] = ("index", "assign")
    combine: str | None = None


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


def at(index: str, *, uses: tuple[tuple[str, str], ...], launches: int, signals: tuple[Signal, ...] = ()) -> Chain:
    """The tokens at sorted indices that other kernels find in `launches` launches."""
    return Chain(
        uses=(*uses, ("gathering", "compact_at")),
        select=index,
        select_launches=launches,
        compact=f"compact_at_{{way}}({index}, {REST})",
        launches=launches + 1,
        signals=signals,
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


def combined(
    group: str,
    combine: str,
    *,
    steps: tuple[str, ...],
    select: str,
    uses: tuple[tuple[str, str], ...],
    launches: tuple[int, int],
    signals: tuple[Signal, ...],
    parts: tuple[str, ...] = ("index", "assign"),
) -> Chain:
    """Groups that go on as something else than their means; fields as `Chain` has them.

    Args:
        launches: what `select` and `group` with its steps take; `combine` is one more.
    """
    return Chain(
        uses=uses,
        select=select,
        select_launches=launches[0],
        compact=f"Compacted(index, combine_{{number}}(features, {', '.join(parts)}), at_index(positions, index), None)",
        launches=launches[1] + 1,
        signals=signals,
        merges=True,
        group=group,
        steps=steps,
        parts=parts,
        combine=combine,
    )
