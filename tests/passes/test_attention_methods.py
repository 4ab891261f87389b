"""FasterVLM and FastV against the papers' formulas in numpy, from queries and keys to indices."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from foveate.ir.layout import Layout
from foveate.ir.signal import cls_row, last_row
from foveate.kernels.attention_row import attention_row
from foveate.passes import Tokens, create

SHAPES = [(1, 1, 1, 4, 8), (2, 4, 4, 16, 8), (3, 8, 2, 23, 16), (2, 6, 3, 36, 4)]  # B, heads, key heads, N, width


def softmax(scores: np.ndarray) -> np.ndarray:
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def head_mean_row(query: np.ndarray, key: np.ndarray) -> np.ndarray:
    """(B, N): softmax(q k^T / sqrt(d)) of one query, key heads repeated for their query heads, mean over heads."""
    key = np.repeat(key, query.shape[1] // key.shape[1], axis=1)
    return softmax(np.einsum("bhd,bhnd->bhn", query, key) / np.sqrt(query.shape[-1])).mean(axis=1)


def highest(row: np.ndarray, count: int) -> list[list[int]]:
    return [sorted(np.argsort(-each, kind="stable")[:count].tolist()) for each in row]


def drawn(batch: int, heads: int, groups: int, count: int, width: int, dtype: torch.dtype):
    generator = torch.Generator().manual_seed(count)
    query = torch.randn(batch, heads, width, generator=generator).to(dtype)
    return query, torch.randn(batch, groups, count, width, generator=generator).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("keep", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_fastervlm_keeps_what_cls_attends_to_most(shape, keep: float, dtype: torch.dtype) -> None:
    batch, heads, _, patches, width = shape
    # [CLS] is token 0 of its own row; the tower has no grouped queries.
    query, key = drawn(batch, heads, heads, patches + 1, width, dtype)
    row = head_mean_row(query.double().numpy(), key.double().numpy())[:, 1:]
    signal = attention_row(query.float(), key.float(), scale=width**-0.5)[:, 1:]
    method, layout = create("fastervlm"), Layout(patches)
    target = method.count(layout, keep)
    tokens = Tokens(torch.zeros(batch, patches, 4, dtype=dtype), layout, {cls_row(): signal})
    assert method.compress(tokens, target).index.tolist() == highest(row, target.count)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("keep", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_fastv_keeps_the_media_tokens_that_the_last_token_attends_to_most(shape, keep, dtype) -> None:
    batch, heads, groups, media, width = shape
    before, after = 3, 5
    query, key = drawn(batch, heads, groups, before + media + after, width, dtype)
    row = head_mean_row(query.double().numpy(), key.double().numpy())[:, before : before + media]
    signal = attention_row(query.float(), key.float(), scale=width**-0.5)[:, before : before + media]
    method, layout = create("fastv"), Layout(media)
    target = method.count(layout, keep)
    tokens = Tokens(torch.zeros(batch, media, 4, dtype=dtype), layout, {last_row(): signal})
    assert method.compress(tokens, target).index.tolist() == highest(row, target.count)


def test_fastervlm_asks_for_the_layer_that_it_is_told() -> None:
    assert create("fastervlm").needs(Layout(4)) == (cls_row(None),)
    assert create("fastervlm", {"layer": -3}).needs(Layout(4)) == (cls_row(-3),)
    assert create("fastv").needs(Layout(4)) == (last_row(-1),)


@pytest.mark.parametrize(("name", "need"), [("fastervlm", cls_row()), ("fastv", last_row())])
def test_equal_attention_keeps_the_earlier_token(name: str, need) -> None:
    row = torch.tensor([[0.2, 0.3, 0.2, 0.3, 0.0]])
    tokens = Tokens(torch.zeros(1, 5, 2), Layout(5), {need: row})
    assert create(name).compress(tokens, Layout(3)).index.tolist() == [[0, 1, 3]]
