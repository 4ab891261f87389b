"""Pivots by the norms of keys: the norms, then one program for each pivot, which finds and copies it."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from .dispatch import on_own_device
from .pivot_triton import least_similar_triton
from .ranking_triton import first_largest
from .token_norm_triton import token_norm_triton
from .tuning import tuned


@triton.jit
def without_largest(norms: tl.tensor, tokens: tl.tensor, number: tl.tensor, BLOCK: tl.constexpr) -> tl.tensor:
    """The norms of a row with the `number` largest at -inf, NaN at -1."""
    columns = tl.arange(0, BLOCK)
    left = tl.load(norms + columns, mask=columns < tokens, other=float("-inf"))
    left = tl.where(left == left, left, -1.0)
    for _ in range(number):
        left = tl.where(columns == first_largest(left, columns), float("-inf"), left)
    return left


@triton.jit
def copy_pivots(
    norms: tl.tensor,
    states: tl.tensor,
    text_norms: tl.tensor,
    text_states: tl.tensor,
    pivots: tl.tensor,
    taken: tl.tensor,
    tokens: tl.tensor,
    texts: tl.tensor,
    own: tl.tensor,
    width: tl.tensor,
    state_row: tl.tensor,
    state_token: tl.tensor,
    text_row: tl.tensor,
    text_token: tl.tensor,
    HAS_TEXT: tl.constexpr,
    BLOCK: tl.constexpr,
    TEXTS: tl.constexpr,
    CHANNELS: tl.constexpr,
) -> None:
    """Copy the state of pivot `program_id(0)` of row `program_id(1)`; the first one marks the row's own pivots."""
    pivot, batch = tl.program_id(0), tl.program_id(1).to(tl.int64)
    out = pivots + (batch * tl.num_programs(0) + pivot) * width
    columns = tl.arange(0, BLOCK)
    if pivot == 0:
        without_own = without_largest(norms + batch * tokens, tokens, own, BLOCK)
        gone = (without_own == float("-inf")).to(tl.int8)
        tl.store(taken + batch * tokens + columns, gone, mask=columns < tokens)
    if pivot < own:
        media_left = without_largest(norms + batch * tokens, tokens, pivot, BLOCK)
        token = first_largest(media_left, columns).to(tl.int64)
        copy_state(states + batch * state_row + token * state_token, out, width, CHANNELS)
    elif HAS_TEXT:
        places = tl.arange(0, TEXTS)
        first = first_largest(without_largest(text_norms + batch * texts, texts, 0, TEXTS), places)
        text_left = without_largest(text_norms + batch * texts, texts, pivot - own, TEXTS)
        text = tl.where(tl.max(text_left, axis=0) > 0.0, first_largest(text_left, places), first).to(tl.int64)
        copy_state(text_states + batch * text_row + text * text_token, out, width, CHANNELS)


@triton.jit
def copy_state(source: tl.tensor, goal: tl.tensor, width: tl.tensor, CHANNELS: tl.constexpr) -> None:
    """Copy `width` channels."""
    for start in range(0, width, CHANNELS):
        channels = start + tl.arange(0, CHANNELS)
        tl.store(goal + channels, tl.load(source + channels, mask=channels < width), mask=channels < width)


@on_own_device
def unlike_key_pivots_triton(
    keys: torch.Tensor,
    states: torch.Tensor,
    text_keys: torch.Tensor | None = None,
    text_states: torch.Tensor | None = None,
    *,
    count: int,
    own: int,
    others: int = 0,
) -> torch.Tensor:
    """`unlike_key_pivots` on a GPU; at most LONGEST_ROW tokens of each kind, and MOST_PIVOTS pivots."""
    batch, tokens, width = states.shape
    states = states if states.stride(-1) == 1 else states.contiguous()
    text = states if text_states is None else text_states
    text = text if text.stride(-1) == 1 else text.contiguous()
    texts = 1 if text_keys is None else text_keys.shape[1]
    text_norms = None if text_keys is None or not others else token_norm_triton(text_keys, order=1)
    pivots = states.new_empty(batch, own + others, width)
    taken = torch.empty(batch, tokens, dtype=torch.int8, device=states.device)
    copy_pivots[(own + others, batch)](
        *(token_norm_triton(keys, order=1), states, text_norms, text, pivots, taken, tokens, texts, own, width),
        *(*states.stride()[:2], *text.stride()[:2]),
        HAS_TEXT=text_norms is not None,
        BLOCK=triton.next_power_of_2(tokens),
        TEXTS=triton.next_power_of_2(max(1, texts)),
        **tuned("copy_pivots", states.device, size=tokens),
    )
    return least_similar_triton(states, pivots, count=count - own, taken=taken, kept=own)
