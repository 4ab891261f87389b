"""Which way a call goes: what Triton may serve, and that every public function asks and obeys."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from drawn import integers, normal, same

from foveate.kernels import compaction, dispatch, max_min
from foveate.kernels.dispatch import LONGEST_ROW, runs_on_gpu


def on(device: str = "cuda:0", *, dtype: torch.dtype = torch.float32, requires_grad: bool = False) -> Any:
    """As much of a tensor as the decision reads."""
    cuda = device.startswith("cuda")
    return SimpleNamespace(
        is_cuda=cuda, dtype=dtype, device=device, requires_grad=requires_grad, is_complex=lambda: dtype.is_complex
    )


@pytest.mark.parametrize(
    ("tensors", "served"),
    [
        ([on()], True),
        ([on(), None, on(dtype=torch.int64)], True),
        ([on("cpu")], False),
        ([on(), on("cpu")], False),
        ([on(), on("cuda:1")], False),
        ([on(dtype=torch.float64)], False),
        ([on(dtype=torch.complex64)], False),
        ([on(), on(requires_grad=True)], False),
    ],
)
def test_triton_serves_one_gpu_in_float32_without_gradients(tensors: list[Any], served: bool) -> None:
    assert runs_on_gpu(*tensors) == served


def test_a_gradient_that_is_not_recorded_does_not_matter() -> None:
    with torch.no_grad():
        assert runs_on_gpu(on(requires_grad=True))


def test_without_triton_nothing_runs_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "_has_triton", lambda: False)
    assert not runs_on_gpu(on())


def test_comparisons_can_ask_for_torch() -> None:
    with dispatch.eager():
        assert not runs_on_gpu(on())
    assert runs_on_gpu(on())


TOKENS = normal(1, 9, 4, seed=0)
CALLS: list[tuple[str, str, str, tuple[Any, ...], dict[str, Any]]] = [
    ("compaction", "compact_top_k", "compaction", (normal(1, 9, seed=1), TOKENS), {"count": 3}),
    ("gathering", "compact_at", "gathering", (integers(1, 3, below=9, seed=0), TOKENS), {}),
    ("top_k", "top_k", "top_k", (normal(1, 9, seed=1),), {"count": 3}),
    ("token_norm", "token_norm", "token_norm", (TOKENS,), {}),
    ("farthest_subset", "farthest_subset", "farthest_subset", (TOKENS,), {"count": 3}),
    ("neighbour_chains", "neighbour_chains", "neighbour_chains", (TOKENS,), {"count": 3}),
    ("max_min", "farthest_first", "max_min", (normal(1, 9, 9, seed=1), integers(1, below=9, seed=0)), {"count": 3}),
    ("dpp", "dpp_greedy", "dpp", (TOKENS @ TOKENS.mT, 3), {}),
    ("pivot", "least_similar", "pivot", (TOKENS, TOKENS[:, :2]), {"count": 3}),
    ("best_match", "best_match", "best_match", (TOKENS, TOKENS), {}),
    ("thin_attention", "thin_attention", "thin_attention", (TOKENS[None], TOKENS[None]), {"scale": 1.0}),
    ("column_mass", "column_mass", "column_mass", (TOKENS[None], TOKENS[None]), {"scale": 1.0}),
    ("segmented_mean", "segmented_mean", "segmented_mean", (TOKENS, integers(1, 9, below=2, seed=0)), {"groups": 2}),
    ("grid_pooling", "pool_grid", "grid_pooling", (TOKENS,), {"grid": (1, 3, 3), "pooled": (1, 2, 2)}),
    ("temporal_runs", "temporal_runs", "temporal_runs", (TOKENS[None],), {"threshold": 0.5}),
    ("density_peaks", "density_peaks", "density_peaks", (TOKENS,), {"neighbours": 2}),
    (
        *("cache_compaction", "compact_cache", "cache_compaction"),
        *((TOKENS[None], TOKENS[None], integers(1, 3, below=9, seed=0)), {}),
    ),
]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call[1])
def test_public_functions_hand_over_to_their_kernel(
    call: tuple[str, str, str, tuple[Any, ...], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    file, name, kernel_file, args, options = call
    module = import_module(f"foveate.kernels.{file}")
    handed: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    answer = object()

    def kernel(*given: Any, **named: Any) -> object:
        handed.append((given, named))
        return answer

    monkeypatch.setattr(import_module(f"foveate.kernels.{kernel_file}_triton"), f"{name}_triton", kernel)
    monkeypatch.setattr(module, "runs_on_gpu", lambda *_: True)
    assert getattr(module, name)(*args, **options) is answer
    assert handed[0][0] == args
    assert options.items() <= handed[0][1].items()
    monkeypatch.setattr(module, "runs_on_gpu", lambda *_: False)
    assert getattr(module, name)(*args, **options) is not answer


@pytest.mark.parametrize("longest", [LONGEST_ROW, 8])
def test_rows_too_long_for_one_program_take_the_torch_way(longest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (compaction, max_min):
        monkeypatch.setattr(module, "LONGEST_ROW", longest)
        monkeypatch.setattr(module, "runs_on_gpu", lambda *_: True)
    calls: list[str] = []
    kernels = import_module("foveate.kernels.compaction_triton"), import_module("foveate.kernels.max_min_triton")
    monkeypatch.setattr(kernels[0], "compact_top_k_triton", lambda *_, **__: calls.append("compaction"))
    monkeypatch.setattr(kernels[1], "farthest_first_triton", lambda *_, **__: calls.append("max_min"))
    compaction.compact_top_k(normal(1, 9, seed=1), TOKENS, count=3)
    max_min.max_min(TOKENS, 3)
    assert calls == (["compaction", "max_min"] if longest == LONGEST_ROW else [])


FunctionOfTokens = Callable[[torch.Tensor], torch.Tensor]
ON_GPU: dict[str, FunctionOfTokens] = {
    "compaction": lambda x: compaction.compact_top_k(x[..., 0], x, count=64).hidden,
    "max_min": lambda x: max_min.max_min(x, 64),
    "best_match": lambda x: import_module("foveate.kernels.best_match").best_match(x[:, ::2], x[:, 1::2])[1],
    "pivot": lambda x: import_module("foveate.kernels.pivot").least_similar(x, x[:, :8], count=64),
}


@pytest.mark.gpu
@pytest.mark.parametrize("name", ON_GPU)
def test_a_gpu_gives_what_the_cpu_gives(name: str) -> None:
    features = torch.randn(2, 576, 1024, generator=torch.Generator().manual_seed(0))
    same(ON_GPU[name](features.cuda()), ON_GPU[name](features))
