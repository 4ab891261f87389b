"""What the numpy versions of published formulas share: cosines, softmax, rankings and random tokens for a pass."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from foveate.ir.layout import Layout
from foveate.ir.signal import Need
from foveate.passes import Compression, Pass, Tokens
from foveate.passes.contract import sample_signal
from foveate.passes.primitives.merge import merged

DTYPES = [torch.float32, torch.bfloat16]


def drawn(
    method: Pass, layout: Layout, *, rows: int = 2, width: int = 16, seed: int = 0, dtype=torch.float32
) -> Tokens:
    """Random tokens and signals; keys, embeddings and states have the dtype of the features."""
    draws = torch.Generator().manual_seed(seed)
    features = torch.randn(rows, layout.count, width, generator=draws).to(dtype)
    signals = {need: sample_signal(need, rows, layout.count, width, draws) for need in method.needs(layout)}
    signals = {n: s if n.signal.startswith("attention") else s.to(dtype) for n, s in signals.items()}
    return Tokens(features, layout, signals)


def clip(layout: Layout, *, rows: int = 2, width: int = 16, seed: int = 0, change: float = 1.5) -> torch.Tensor:
    """(rows, N, width) features of a clip whose frames resemble the ones before them, some places more than others."""
    assert layout.grid is not None
    draws = torch.Generator().manual_seed(seed)
    frames, places = layout.grid[0], layout.grid[1] * layout.grid[2]
    rate = change * (0.1 + torch.rand(rows, 1, places, 1, generator=draws) ** 2)
    steps = torch.randn(rows, frames, places, width, generator=draws)
    steps[:, 1:] *= rate * (0.3 + 3 * torch.rand(rows, frames - 1, 1, 1, generator=draws) ** 3)
    return steps.cumsum(dim=1).reshape(rows, layout.count, width)


def run(method: Pass, tokens: Tokens, count: int) -> tuple[Compression, np.ndarray]:
    """What the pass returns for K = `count`, and the features that go on, in double precision."""
    found = method.compress(tokens, Layout(count) if count < tokens.layout.count else tokens.layout)
    return found, merged(tokens.features, found).double().numpy()


def array(values: torch.Tensor) -> np.ndarray:
    """As numpy, in double precision."""
    return values.double().numpy()


def signal(tokens: Tokens, need: Need, row: int) -> np.ndarray:
    """One row of a signal, in double precision."""
    return array(tokens.signals[need][row])


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(len(a), len(b)) cosines between rows."""
    return (a / np.linalg.norm(a, axis=-1, keepdims=True)) @ (b / np.linalg.norm(b, axis=-1, keepdims=True)).T


def softmax(scores: np.ndarray, axis: int = -1) -> np.ndarray:
    """Softmax along one axis."""
    weights = np.exp(scores - scores.max(axis=axis, keepdims=True))
    return weights / weights.sum(axis=axis, keepdims=True)


def descending(scores: Any) -> list[int]:
    """Indices from the highest score to the lowest, equal ones by position."""
    return [int(i) for i in np.argsort(-np.asarray(scores, dtype=float), kind="stable")]


def same_values(found: np.ndarray, expected: list[np.ndarray], dtype: torch.dtype) -> None:
    """Features that go on are those expected, to 1e-5 in single precision and to the rounding of bfloat16."""
    tolerance = 1e-5 if dtype == torch.float32 else 1e-2
    np.testing.assert_allclose(found, np.stack(expected), rtol=tolerance, atol=tolerance)
