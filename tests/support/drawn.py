"""Inputs of the kernel tests: odd shapes, odd strides, and values in which ties and NaN meet."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import settings
from hypothesis import strategies as st

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
"""Without a GPU Triton runs in its interpreter (tests/conftest.py sees to it), on CPU tensors."""

DTYPES = st.sampled_from([torch.float32, torch.bfloat16, torch.float16])
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 2e-3}
few = settings(max_examples=12)
seeds = st.integers(0, 2**16)


def shapes(**bounds: int) -> st.SearchStrategy[dict[str, int]]:
    """One integer from 1 to each bound, then a seed, always in this order."""
    names = (*bounds, "seed")
    drawn = st.tuples(*(st.integers(1, bound) for bound in bounds.values()), seeds)
    return drawn.map(lambda values: dict(zip(names, values, strict=True)))


def normal(*shape: int, seed: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Normal values in a view whose last dimension alone is dense: each other one steps over as much again."""
    draws = torch.Generator().manual_seed(seed)
    roomy = torch.randn(*(2 * size for size in shape[:-1]), shape[-1] + 3, generator=draws).to(dtype)
    return roomy.to(DEVICE)[(*(slice(None, None, 2) for _ in shape[:-1]), slice(0, shape[-1]))]


def integers(*shape: int, below: int, seed: int, low: int = 0) -> torch.Tensor:
    """int64 from `low` to before `below`."""
    return torch.randint(low, below, shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE)


def coarse(*shape: int, seed: int) -> torch.Tensor:
    """Float32 scores of few different values, so that ties, NaN and infinities meet often; the strides are odd."""
    values = torch.tensor([0.0, -0.0, 1.0, -1.0, 2.5, 1e-40, float("nan"), float("inf"), float("-inf")])
    drawn = integers(*shape, 2, below=len(values), seed=seed).cpu()
    return values[drawn].to(DEVICE)[..., 0]


def close(found: torch.Tensor, expected: torch.Tensor | np.ndarray, *, dtype: torch.dtype = torch.float32) -> None:
    """Equal to the tolerance of `dtype`; NaN and infinities at the same places."""
    wanted = expected.detach().cpu().double().numpy() if isinstance(expected, torch.Tensor) else expected
    bound = TOLERANCE[dtype]
    np.testing.assert_allclose(found.detach().cpu().double().numpy(), wanted, rtol=bound, atol=bound)


def same(found: torch.Tensor, expected: torch.Tensor) -> None:
    """Equal bit for bit, of the same dtype and shape."""
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    assert torch.equal(found.cpu(), expected.cpu())
