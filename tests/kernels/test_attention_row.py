"""The thin attention row against a numpy softmax over the full attention matrix."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from foveate.kernels.attention_row import attention_row

shapes = st.fixed_dictionaries(
    {
        "batch": st.integers(1, 3),
        "groups": st.sampled_from([1, 2, 4]),
        "repeats": st.sampled_from([1, 2]),
        "width": st.integers(1, 9),
        "count": st.integers(1, 12),
        "seed": st.integers(0, 2**16),
    }
)
masks = st.sampled_from(["none", "bool", "additive"])


def drawn(batch: int, groups: int, repeats: int, width: int, count: int, seed: int):
    generator = torch.Generator().manual_seed(seed)
    query = torch.randn(batch, groups * repeats, width, generator=generator)
    key = torch.randn(batch, groups, count, width, generator=generator)
    return query, key, generator


def full_attention(query: np.ndarray, key: np.ndarray, scale: float, mask: np.ndarray) -> np.ndarray:
    """Mean over heads of the last row of softmax over all N x N scores; the query stands at the last position."""
    batch, heads, width = query.shape
    repeats = heads // key.shape[1]
    rows = []
    for b in range(batch):
        of_heads = []
        for h in range(heads):
            keys = key[b, h // repeats]
            queries = np.concatenate([np.zeros((len(keys) - 1, width)), query[b, h][None]])
            scores = queries @ keys.T * scale + mask[b, h]
            weights = np.exp(scores - scores.max(axis=1, keepdims=True))
            of_heads.append((weights / weights.sum(axis=1, keepdims=True))[-1])
        rows.append(np.mean(of_heads, axis=0))
    return np.stack(rows)


@given(shapes, masks, st.booleans(), st.floats(0.05, 2.0))
def test_it_equals_full_attention(shape: dict[str, int], kind: str, per_head: bool, scale: float) -> None:
    query, key, generator = drawn(**shape)
    batch, heads, count = query.shape[0], query.shape[1], key.shape[2]
    size, mask, additive = (batch, heads if per_head else 1, count), None, torch.zeros(1, 1, 1)
    if kind == "bool":
        mask = torch.rand(size, generator=generator) < 0.6
        mask[..., shape["seed"] % count] = True  # a row that may attend to nothing has no softmax
        additive = torch.zeros(size).masked_fill(~mask, -np.inf)
    elif kind == "additive":
        mask = additive = torch.randn(size, generator=generator)
    row = attention_row(query, key, scale=scale, mask=mask)
    full = additive.expand(batch, heads, count).double().numpy()
    expected = full_attention(query.double().numpy(), key.double().numpy(), scale, full)
    np.testing.assert_allclose(row.numpy(), expected, rtol=1e-5, atol=1e-6)
    if kind == "bool" and not per_head:
        assert (row[~mask[:, 0]] == 0).all()


@given(shapes, st.sampled_from([torch.float32, torch.bfloat16, torch.float16]))
def test_rows_are_float32_not_negative_and_sum_to_one(shape: dict[str, int], dtype: torch.dtype) -> None:
    query, key, _ = drawn(**shape)
    row = attention_row(query.to(dtype), key.to(dtype), scale=0.5)
    assert row.dtype == torch.float32
    assert row.shape == (shape["batch"], shape["count"])
    assert (row >= 0).all()
    assert torch.allclose(row.sum(dim=-1), torch.ones(shape["batch"]), atol=1e-5)


@pytest.mark.parametrize("heads", [1, 2, 3, 5, 8])
def test_equal_keys_share_attention_equally(heads: int) -> None:
    key = torch.randn(2, heads, 1, 4).expand(-1, -1, 7, -1)
    row = attention_row(torch.randn(2, heads, 4), key, scale=1.0)
    assert torch.allclose(row, torch.full((2, 7), 1 / 7), atol=1e-6)


def test_large_scores_do_not_overflow() -> None:
    key = torch.tensor([[[[1.0], [2.0], [3.0]]]])
    row = attention_row(torch.tensor([[[1e4]]]), key, scale=1.0)
    assert torch.equal(row, torch.tensor([[0.0, 0.0, 1.0]]))
