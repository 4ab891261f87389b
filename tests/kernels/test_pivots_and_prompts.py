"""Subsets by pivots and by a prompt: torch and Triton against plain loops."""

from __future__ import annotations

import numpy as np
import torch
from drawn import DTYPES, close, few, normal, shapes
from hypothesis import example, given
from hypothesis import strategies as st

from foveate.kernels.key_pivots import unlike_key_pivots, unlike_key_pivots_torch
from foveate.kernels.key_pivots_triton import unlike_key_pivots_triton
from foveate.kernels.prompt_subset import prompt_subset, prompt_subset_torch
from foveate.kernels.prompt_subset_triton import prompt_subset_triton
from foveate.kernels.token_norm import token_norm, token_norm_torch
from foveate.kernels.token_norm_triton import token_norm_triton

NORMS = (token_norm, token_norm_torch, token_norm_triton)
PIVOTED = (unlike_key_pivots, unlike_key_pivots_torch, unlike_key_pivots_triton)
PROMPTED = (prompt_subset, prompt_subset_torch, prompt_subset_triton)


def unit(values: np.ndarray) -> np.ndarray:
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


@few
@given(shapes(batch=2, tokens=20, width=300), DTYPES)
def test_magnitudes_are_summed(shape: dict[str, int], dtype: torch.dtype) -> None:
    features = normal(shape["batch"], shape["tokens"], shape["width"], seed=shape["seed"], dtype=dtype)
    expected = np.abs(features.cpu().double().numpy()).sum(axis=-1)
    for way in NORMS:
        close(way(features, order=1), expected)


def by_hand(
    keys: np.ndarray, states: np.ndarray, text_keys: np.ndarray, text: np.ndarray, count: int, own: int, others: int
) -> list[int]:
    """Pivots by falling norm, which take what is least like them in turn."""
    norms, text_norms = np.abs(keys).sum(axis=-1), np.abs(text_keys).sum(axis=-1)
    mine = sorted(range(len(norms)), key=lambda t: -norms[t])[:own]
    theirs = sorted(range(len(text_norms)), key=lambda t: -text_norms[t])[:others]
    theirs = [t if text_norms[t] else theirs[0] for t in theirs]
    pivots = [*states[mine], *text[theirs]]
    left = [t for t in range(len(norms)) if t not in mine]
    for place, pivot in enumerate(pivots):
        share = (count - own) // len(pivots) + (place < (count - own) % len(pivots))
        left.sort(key=lambda t, pivot=pivot: unit(states[t]) @ unit(pivot))
        mine, left = [*mine, *left[:share]], left[share:]
    return sorted(mine)


@few
@given(shapes(batch=2, tokens=40, texts=9, width=40), st.integers(1, 5), st.integers(0, 4), DTYPES)
@example({"batch": 1, "tokens": 1, "texts": 1, "width": 1, "seed": 0}, 1, 1, torch.float32)
def test_what_is_least_like_the_longest_keys_stays(
    shape: dict[str, int], own: int, others: int, dtype: torch.dtype
) -> None:
    batch, tokens, texts, seed = shape["batch"], shape["tokens"], shape["texts"], shape["seed"]
    keys, text_keys = (normal(batch, n, 2, 13, seed=seed + n, dtype=dtype).flatten(2) for n in (tokens, texts))
    text_keys[:, texts // 2 + 1 :] = 0  # slots that hold no text
    states, text = (normal(batch, n, shape["width"] + 2, seed=seed - n, dtype=dtype) for n in (tokens + 100, texts))
    states, own, others = states[:, :tokens], min(own, tokens), min(others, texts)
    count = own + seed % (tokens - own + 1)
    exact = [part.cpu().double().numpy() for part in (keys, states, text_keys, text)]
    for way in PIVOTED:
        found = way(keys, states, text_keys, text, count=count, own=own, others=others)
        for row in range(batch):
            assert found[row].tolist() == by_hand(*(part[row] for part in exact), count, own, others)
        if not others:
            assert torch.equal(way(keys, states, count=count, own=own), found)


@few
@given(shapes(batch=2, tokens=24, texts=12), st.booleans(), DTYPES)
@example({"batch": 1, "tokens": 1, "texts": 1, "seed": 0}, False, torch.float32)
def test_the_subset_has_the_greedily_largest_determinant(
    shape: dict[str, int], negated: bool, dtype: torch.dtype
) -> None:
    batch, tokens, texts, seed = shape["batch"], shape["tokens"], shape["texts"], shape["seed"]
    features, text = (normal(batch, n, 48, seed=seed + n, dtype=dtype) for n in (tokens, texts + 100))
    text = text[:, :texts].clone()
    text[:, texts // 2 + 1 :] = 0  # slots that hold no text
    count = 1 + seed % max(1, tokens // 2)
    for row in range(batch):
        values, words = (unit(part[row].cpu().double().numpy()) for part in (features, text[:, : texts // 2 + 1]))
        cosine = (values @ words.T).mean(axis=1) * (-1 if negated else 1)
        spread = max(cosine.max() - cosine.min(), 1e-6)
        values = values * ((cosine - cosine.min() + 1e-6) / spread)[:, None]
        chosen: list[int] = []
        for _ in range(count):
            left = [t for t in range(tokens) if t not in chosen]
            chosen.append(max(left, key=lambda t, v=values, c=tuple(chosen): np.linalg.det(v[[*c, t]] @ v[[*c, t]].T)))
        for way in PROMPTED:
            assert way(features, text, count=count, negated=negated)[row].tolist() == sorted(chosen)
