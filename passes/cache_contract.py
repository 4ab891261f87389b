"""The contract of cache passes as checks: what `docs/contract.md` promises of evicting, for a user's pass too."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ..common.seeds import generator
from .cache_base import SCOPES, CachedTokens, CachePass

if TYPE_CHECKING:
    pass

COUNTS = (1, 2, 9, 40)
KEEPS = (0.02, 0.25, 0.5, 0.77, 1.0)
DEPTHS = (1, 2, 5)
_ROWS, _HEADS, _QUERY_HEADS, _WIDTH = 3, 2, 4, 8


def check_budgets(method: CachePass) -> None:
    """Counts follow from shapes: at least one entry of some, never more than there are, all of them at keep 1."""
    for one, count, keep, depth in _budgets(method):
        counts = [one.layer_count(count, keep, layer=layer, depth=depth) for layer in range(depth)]
        where = f"at keep {keep:g} of {count} in {depth} layers"
        _require(all(1 <= kept <= count for kept in counts), one, f"counts {counts} {where}")
        _require(keep < 1 or set(counts) == {count}, one, f"evicts at keep 1: {counts} {where}")
        empty = one.layer_count(0, keep, layer=0, depth=depth)
        _require(empty == 0, one, f"keeps {empty} of no entries")


def check_chosen(method: CachePass) -> None:
    """Indices are int64 (R, G, K), sorted without repeats in each head, also where all entries are equal."""
    import torch

    for one, count, kept in _cases(method):
        drawn = sample_entries(one, count)
        zeros = dataclasses.replace(drawn, keys=torch.zeros_like(drawn.keys), values=torch.zeros_like(drawn.values))
        for tokens in (drawn, zeros):
            for asked in (one.on_prefill, one.on_decode):
                index, where = asked(tokens, kept), f"for {kept} of {count}"
                shape = tuple(index.shape)
                _require(shape == (_ROWS, _HEADS, kept), one, f"returned {shape} {where}")
                _require(index.dtype == torch.int64, one, f"returned {index.dtype} indices; return int64")
                inside = bool(((index >= 0) & (index < count)).all())
                _require(inside and bool((index.diff(dim=-1) > 0).all()), one, f"returned unsorted indices {where}")


def check_rows(method: CachePass) -> None:
    """Rows that are chosen together come out as they do one by one."""
    import torch

    for one, count, kept in _cases(method):
        tokens = sample_entries(one, count)
        together = one.on_prefill(tokens, kept)
        alone = torch.cat([one.on_prefill(_row(tokens, row), kept) for row in range(_ROWS)])
        _require(torch.equal(alone, together), one, f"chooses otherwise in a batch than alone, for {kept} of {count}")


def check_repeatable(method: CachePass) -> None:
    """The same entries give the same answer, whatever torch's own generator holds, and are left as they are."""
    import torch

    for one, count, kept in _cases(method):
        tokens = sample_entries(one, count)
        before = tokens.keys.clone(), tokens.values.clone()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            state, first = torch.get_rng_state(), one.on_prefill(tokens, kept)
            untouched = torch.equal(torch.get_rng_state(), state)
        same = torch.equal(first, one.on_prefill(tokens, kept))
        _require(same and untouched, one, "draws from torch's own generator; seed one from tokens.seed")
        unchanged = torch.equal(before[0], tokens.keys) and torch.equal(before[1], tokens.values)
        _require(unchanged, one, "writes into the entries that it was given; make new tensors")


def check_half_precision(method: CachePass) -> None:
    """Entries in half precision are chosen from too, as many of them."""
    import torch

    for one, count, kept in _cases(method):
        for dtype in (torch.float16, torch.bfloat16):
            tokens = sample_entries(one, count)
            tokens = dataclasses.replace(tokens, keys=tokens.keys.to(dtype), values=tokens.values.to(dtype))
            shape = tuple(one.on_prefill(tokens, kept).shape)
            _require(shape == (_ROWS, _HEADS, kept), one, f"returned {shape} for {kept} of {count} in {dtype}")


def check_no_waiting(method: CachePass) -> None:
    """Choosing never waits for the device: it runs on tensors that have shapes and no values."""
    for one, count, kept in _cases(method):
        drawn = sample_entries(one, count, seed=1)
        attention = None if drawn.attention is None else drawn.attention.to("meta")
        tokens = dataclasses.replace(
            drawn, keys=drawn.keys.to("meta"), values=drawn.values.to("meta"), attention=attention
        )
        try:
            one.on_prefill(tokens, kept)
            one.on_decode(tokens, kept)
        except Exception as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise AssertionError(f"the pass {one.name!r} reads tensor values on the host: {reason}.") from error


def check_observation(method: CachePass) -> None:
    """It says that it reads the prompt where it observes queries, and evicts each step where it sums them up."""
    observed = method.observed()
    _require(observed == "all" or observed >= 0, method, f"observes {observed!r} queries; give a number or 'all'")
    _require(method.query_aware or observed == 0, method, "observes the prompt's queries: set query_aware")
    every = dataclasses.replace(method, scope="all").evicting_after()
    _require(every is None or every >= 1, method, f"evicts after {every} tokens; give a number above 0, or None")
    fits = observed == 0 or every in (None, 1)
    _require(fits, method, "sums attention up while decoding and so must evict after every token")
    quiet = dataclasses.replace(method, scope="media").evicting_after() is None
    _require(quiet, method, "evicts while decoding with scope media, where only text is added")


CACHE_CHECKS: tuple[Callable[[CachePass], None], ...] = (
    check_budgets,
    check_chosen,
    check_repeatable,
    check_rows,
    check_half_precision,
    check_no_waiting,
    check_observation,
)
"""Every check of a cache pass beside those of attributes, parameters and costs that all passes share."""


def sample_entries(method: CachePass, count: int, *, seed: int = 0) -> CachedTokens:
    """Normal keys and values of `count` entries in three rows and two heads, and attention where it is observed."""
    import torch

    draws = generator(seed)
    keys, values = (torch.randn(_ROWS, _HEADS, count, _WIDTH, generator=draws) for _ in range(2))
    attention = torch.rand(_ROWS, _QUERY_HEADS, count, generator=draws) if method.observed() != 0 else None
    return CachedTokens(keys, values, attention, layer=1, depth=4)


def _budgets(method: CachePass) -> Iterator[tuple[CachePass, int, float, int]]:
    for scope in SCOPES:
        one = dataclasses.replace(method, scope=scope)
        yield from ((one, count, keep, depth) for count in COUNTS for keep in KEEPS for depth in DEPTHS)


def _cases(method: CachePass) -> Iterator[tuple[CachePass, int, int]]:
    """Both scopes, and for each number of entries every budget of some layer."""
    found = {(one, count, one.layer_count(count, keep, layer=1, depth=4)) for one, count, keep, _ in _budgets(method)}
    yield from sorted(found, key=lambda case: (case[0].scope, case[1:]))


def _row(tokens: CachedTokens, row: int) -> CachedTokens:
    one = slice(row, row + 1)
    attention = None if tokens.attention is None else tokens.attention[one]
    return dataclasses.replace(tokens, keys=tokens.keys[one], values=tokens.values[one], attention=attention)


def _require(held: bool, method: CachePass, sentence: str) -> None:
    if not held:
        raise AssertionError(f"the pass {method.name!r} {sentence}.")
