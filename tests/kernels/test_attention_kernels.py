"""Thin attention and column mass: torch against numpy over the full matrix, Triton against torch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from drawn import DEVICE, DTYPES, close, few, integers, normal, shapes
from hypothesis import example, given
from hypothesis import strategies as st

from foveate.kernels.attention_row import attention_row
from foveate.kernels.column_mass import column_mass_torch
from foveate.kernels.column_mass_triton import column_mass_triton
from foveate.kernels.thin_attention import thin_attention, thin_attention_torch
from foveate.kernels.thin_attention_triton import thin_attention_triton

Segments = tuple[torch.Tensor, torch.Tensor] | None
heads = shapes(batch=2, groups=3, repeats=3, rows=20, columns=40, width=40)
ONE = dict.fromkeys(("batch", "groups", "repeats", "rows", "columns", "width"), 1) | {"seed": 0}
MANY_HEADS = ONE | {"groups": 8, "repeats": 8, "rows": 2, "columns": 3, "width": 32, "seed": 3}
WIDE = ONE | {"repeats": 2, "rows": 17, "columns": 33, "width": 256, "seed": 4}
KINDS = st.sampled_from(["none", "bool", "additive", "shared"])


def projections(shape: dict[str, int], dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, H, R, D) and (B, G, N, D), seen through the layout (B, N, H, D) that attention modules project into."""
    batch, groups, repeats, rows, columns, width, seed = shape.values()
    query = normal(batch, rows, groups * repeats, width, seed=seed, dtype=dtype)
    key = normal(batch, columns, groups, width, seed=seed + 1, dtype=dtype)
    return query.transpose(1, 2), key.transpose(1, 2)


def mask_of(kind: str, shape: dict[str, int]) -> torch.Tensor | None:
    batch, rows, columns, seed = (shape[name] for name in ("batch", "rows", "columns", "seed"))
    if kind == "none":
        return None
    heads = shape["groups"] * shape["repeats"] if kind == "additive" else 1
    values = normal(batch, heads, 1 if kind == "shared" else rows, columns, seed=seed + 2)
    return values if kind == "additive" else values > -0.5


def segments_of(shape: dict[str, int]) -> Segments:
    batch, rows, columns, seed = (shape[name] for name in ("batch", "rows", "columns", "seed"))
    # Ids that only queries or only keys have: rows that see nothing, and keys that nothing sees.
    return integers(batch, rows, below=4, seed=seed), integers(batch, columns, low=1, below=6, seed=seed + 1)


def weights_by_hand(query: torch.Tensor, key: torch.Tensor, scale: float, seen: np.ndarray, added: np.ndarray):
    """(B, H, R, N) softmax in float64, with keys repeated for every query head."""
    q, k = query.cpu().double().numpy(), key.cpu().double().numpy()
    scores = q @ np.repeat(k, q.shape[1] // k.shape[1], axis=1).swapaxes(-1, -2) * scale + added
    scores = np.where(seen, scores, -1e9)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True)) * seen
    return weights / np.maximum(weights.sum(axis=-1, keepdims=True), 1e-300)


def same_segment(segments: Segments) -> np.ndarray:
    assert segments is not None
    queries, keys = (part.cpu().numpy() for part in segments)
    return queries[:, None, :, None] == keys[:, None, None, :]


@given(heads, KINDS, st.sampled_from(["mean", "max"]))
@example(ONE, "none", "mean")
def test_thin_rows_are_rows_of_full_attention(shape: dict[str, int], kind: str, reduce: str) -> None:
    query, key = projections(shape)
    mask, segments = mask_of(kind, shape), segments_of(shape) if shape["seed"] % 2 else None
    seen = np.ones((1, 1, 1, 1), dtype=bool) if segments is None else same_segment(segments)
    added = np.zeros(1)
    if mask is not None and mask.dtype == torch.bool:
        seen = seen & mask.cpu().numpy()
    elif mask is not None:
        added = mask.cpu().double().numpy()
    weights = weights_by_hand(query, key, 0.3, seen, added)
    found = thin_attention(query, key, scale=0.3, mask=mask, segments=segments, reduce=reduce)
    close(found, weights.mean(axis=1) if reduce == "mean" else weights.max(axis=1))


@few
@given(heads, KINDS, DTYPES)
@example(ONE, "none", torch.float32)
@example(MANY_HEADS, "bool", torch.bfloat16)
@example(WIDE, "additive", torch.float32)
def test_triton_thin_rows(shape: dict[str, int], kind: str, dtype: torch.dtype) -> None:
    query, key = projections(shape, dtype)
    options = {"scale": 0.3, "mask": mask_of(kind, shape), "reduce": "max" if shape["seed"] % 3 == 0 else "mean"}
    segments = segments_of(shape) if shape["seed"] % 2 else None
    expected = thin_attention_torch(query, key, segments=segments, **options)
    close(thin_attention_triton(query, key, segments=segments, **options), expected, dtype=dtype)


def test_one_query_is_an_attention_row() -> None:
    query, key = projections(WIDE)
    mask = mask_of("bool", WIDE)
    assert mask is not None
    rows = thin_attention(query, key, scale=0.1, mask=mask)
    for row in range(query.shape[2]):
        close(rows[:, row], attention_row(query[:, :, row], key, scale=0.1, mask=mask[:, :, row]))


@pytest.mark.parametrize("way", [thin_attention_torch, thin_attention_triton])
def test_nan_stays_in_its_rows_and_equal_keys_share(way) -> None:
    query, key = torch.randn(1, 2, 3, 8, device=DEVICE), torch.randn(1, 1, 1, 8, device=DEVICE).expand(-1, -1, 5, -1)
    query[0, 1, 1, 4] = math.nan
    found = way(query, key, scale=1.0)
    assert found[0, 1].isnan().all()
    close(found[0, ::2], np.full((2, 5), 0.2))


@given(heads, st.booleans(), st.booleans())
@example(ONE, True, False)
def test_column_mass_sums_the_columns_of_full_attention(shape: dict[str, int], causal: bool, packed: bool) -> None:
    query, key = projections(shape)
    rows, columns = shape["rows"], shape["columns"]
    segments = segments_of(shape) if packed else None
    seen = np.ones((1, 1, rows, columns), dtype=bool) if segments is None else same_segment(segments)
    if causal:
        seen = seen & np.tril(np.ones((rows, columns), dtype=bool), columns - rows)
    expected = weights_by_hand(query, key, 0.3, seen, np.zeros(1)).mean(axis=1).sum(axis=1)
    close(column_mass_torch(query, key, scale=0.3, causal=causal, segments=segments), expected)


@few
@given(heads, st.booleans(), st.booleans(), DTYPES)
@example(ONE, True, True, torch.float32)
@example(MANY_HEADS, True, False, torch.bfloat16)
@example(WIDE, False, True, torch.float32)
def test_triton_column_mass(shape: dict[str, int], causal: bool, packed: bool, dtype: torch.dtype) -> None:
    query, key = projections(shape, dtype)
    options = {"scale": 0.3, "causal": causal, "segments": segments_of(shape) if packed else None}
    close(column_mass_triton(query, key, **options), column_mass_torch(query, key, **options), dtype=dtype)


def test_column_mass_in_chunks_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    query, key = projections(WIDE)
    whole = column_mass_torch(query, key, scale=0.1, causal=True, segments=segments_of(WIDE))
    monkeypatch.setattr("foveate.kernels.column_mass._CHUNK", 200)
    close(column_mass_torch(query, key, scale=0.1, causal=True, segments=segments_of(WIDE)), whole)
