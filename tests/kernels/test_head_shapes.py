"""Kernels that read heads, over the heads of real models: 1 to 64 of them, 32 to 256 channels each."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from drawn import DTYPES, close, integers, normal, same
from hypothesis import given, settings
from hypothesis import strategies as st

from foveate.kernels.cache_compaction import compact_cache_torch
from foveate.kernels.cache_compaction_triton import compact_cache_triton
from foveate.kernels.column_mass import column_mass_torch
from foveate.kernels.column_mass_triton import column_mass_triton
from foveate.kernels.thin_attention import thin_attention_torch
from foveate.kernels.thin_attention_triton import thin_attention_triton


class Heads(NamedTuple):
    """Key-value heads, query heads for each, channels of a head, queries, keys and a seed."""

    groups: int
    repeats: int
    width: int
    rows: int
    columns: int
    seed: int


counts = st.sampled_from([(1, 1), (1, 8), (2, 7), (3, 5), (4, 7), (8, 8), (16, 1), (32, 2), (64, 1)])
drawn_heads = st.builds(
    lambda count, width, rows, columns, seed: Heads(*count, width, rows, columns, seed),
    counts,
    st.sampled_from([32, 48, 64, 80, 96, 112, 128, 160, 192, 256]),
    *(st.integers(1, 5), st.integers(1, 9), st.integers(0, 2**16)),
)
pytestmark = pytest.mark.slow
ten = settings(max_examples=10)


def projections(heads: Heads, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Queries (1, H, R, D) and keys (1, G, N, D) as attention modules hold them, tokens before heads."""
    query = normal(1, heads.rows, heads.groups * heads.repeats, heads.width, seed=heads.seed, dtype=dtype)
    key = normal(1, heads.columns, heads.groups, heads.width, seed=heads.seed + 1, dtype=dtype)
    return query.transpose(1, 2), key.transpose(1, 2)


@ten
@given(drawn_heads, DTYPES)
def test_thin_rows(heads: Heads, dtype: torch.dtype) -> None:
    query, key = projections(heads, dtype)
    scale = heads.width**-0.5
    found = thin_attention_triton(query, key, scale=scale)
    close(found, thin_attention_torch(query, key, scale=scale), dtype=dtype)


@ten
@given(drawn_heads, DTYPES, st.booleans())
def test_column_mass(heads: Heads, dtype: torch.dtype, causal: bool) -> None:
    query, key = projections(heads, dtype)
    options = {"scale": heads.width**-0.5, "causal": causal and heads.columns >= heads.rows}
    close(column_mass_triton(query, key, **options), column_mass_torch(query, key, **options), dtype=dtype)


@ten
@given(drawn_heads, DTYPES)
def test_cache_compaction(heads: Heads, dtype: torch.dtype) -> None:
    _, key = projections(heads, dtype)
    value = normal(1, heads.groups, heads.columns, heads.width + 3, seed=heads.seed + 2, dtype=dtype)
    index = integers(1, heads.groups, heads.rows, below=heads.columns, seed=heads.seed)
    for found, expected in zip(
        compact_cache_triton(key, value, index), compact_cache_torch(key, value, index), strict=True
    ):
        same(found, expected)
