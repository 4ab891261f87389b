"""The work that calibration times: each case is a real torch call beside the op that stands for it in a graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..ir.module_ops import module_ops
from ..ir.op import Op, attention, elementwise
from ..ir.polynomial import BATCH, CONTEXT, ROWS, as_polynomial
from .profile import VECTOR

if TYPE_CHECKING:
    import torch

_WIDTHS = (192, 768, 2048)
_ROWS = (1, 8, 64, 256, 1024)
REPEATS = 4


@dataclass(frozen=True)
class Case:
    """One timed call.

    Attributes:
        op: its op. batch, tokens, context: the counts at which `op` describes the call.
        run: makes the call `repeats` times on the same data, so that data is as warm as the op before would leave it.
        repeats: calls in one `run`; matrix products run once, since a model's weights do not stay in the cache.
    """

    op: Op
    batch: int
    tokens: int
    context: int
    run: Callable[[], object]
    repeats: int = 1


@dataclass(frozen=True)
class Bench:
    """Where the cases live: tensors of one device, dtype and seed."""

    device: str
    dtype: torch.dtype
    generator: torch.Generator

    def tensor(self, *shape: int) -> torch.Tensor:
        """Random normal values of `shape`."""
        import torch

        return torch.randn(*shape, generator=self.generator, device=self.device).to(self.dtype)

    def module(self, module: torch.nn.Module) -> torch.nn.Module:
        """`module` on this device, for inference."""
        return module.to(self.device, self.dtype).eval().requires_grad_(False)


def bench(device: str, dtype: str, seed: int) -> Bench:
    """The bench of `device` at torch's dtype called `dtype`."""
    import torch

    from ..common.seeds import generator

    return Bench(device, getattr(torch, dtype), generator(seed, device))


def gemm_cases(on: Bench) -> Iterator[Case]:
    """Linear maps between narrow and wide layers, from two rows to two thousand."""
    from torch import nn

    for inputs, outputs in (
        (192, 192),
        (192, 768),
        (384, 1536),
        (768, 768),
        (768, 3072),
        (3072, 768),
        (2048, 2048),
        (1536, 4096),
    ):
        for rows in (2, 4, 16, 64, 128, 256, 512, 1024):
            if inputs * outputs * rows <= 2048 * 2048 * 512:
                yield _module_case(on, nn.Linear(inputs, outputs, bias=False), rows, inputs, repeats=1)


def gemv_cases(on: Bench) -> Iterator[Case]:
    """Linear maps of one row, as in decode steps: BLAS reads the weights once and does not pack them.

    Rows of 1024 numbers fill whole pages and are read faster than their neighbours, so few widths are of that kind.
    """
    from torch import nn

    narrow = ((192, 320), (192, 768), (320, 320), (320, 1216), (576, 576), (576, 1600), (704, 1920), (896, 896))
    wide = ((1088, 2880), (1216, 1216), (1344, 3648), (1600, 576), (1728, 4608), (2048, 2048), (2240, 832))
    for inputs, outputs in (*narrow, *wide, (2880, 1088), (3264, 1216), (3840, 1472), (4352, 1600), (1024, 9216)):
        yield _module_case(on, nn.Linear(inputs, outputs, bias=False), 1, inputs, repeats=1)


def convolution_cases(on: Bench) -> Iterator[Case]:
    """Patch embeddings of small and large pictures."""
    from torch import nn

    sizes = ((192, 16, 64, 1), (192, 8, 64, 1), (192, 16, 224, 1), (512, 16, 224, 1), (768, 14, 224, 1))
    for width, patch, side, pictures in (*sizes, (768, 16, 224, 4), (1024, 14, 336, 1)):
        module = on.module(nn.Conv2d(3, width, patch, stride=patch))
        (op,) = module_ops("patches", module)
        pixels = on.tensor(pictures, 3, side, side)
        yield Case(op, pictures, (side // patch) ** 2, 0, repeated(module, pixels, repeats=2), 2)


def attention_cases(on: Bench) -> Iterator[Case]:
    """Full attention of an encoder, causal attention of a prefill, one query over a cache."""
    for heads, width, tokens in ((3, 64, 50), (4, 64, 100), (12, 64, 197), (12, 64, 577), (16, 64, 257), (8, 32, 128)):
        yield _attention_case(on, heads, width, tokens, tokens, causal=False)
    prefills = ((6, 32, 64), (6, 32, 256), (12, 64, 128), (12, 64, 320), (12, 64, 640), (16, 64, 1024))
    for heads, width, tokens in prefills:
        yield _attention_case(on, heads, width, tokens, tokens, causal=True)
    caches = ((6, 32, 64), (8, 32, 512), (12, 64, 128), (12, 64, 320), (12, 64, 640), (16, 64, 1024), (16, 64, 2048))
    for heads, width, context in caches:
        yield _attention_case(on, heads, width, 1, context, causal=True)


def normalization_cases(on: Bench) -> Iterator[Case]:
    """LayerNorm, and RMSNorm as transformers writes it in eager mode."""
    from torch import nn
    from transformers.models.llama.modeling_llama import LlamaRMSNorm

    for width in _WIDTHS:
        for rows in _ROWS:
            yield _module_case(on, nn.LayerNorm(width), rows, width)
            yield _module_case(on, LlamaRMSNorm(width), rows, width)


def elementwise_cases(on: Bench) -> Iterator[Case]:
    """Residual sums, gates, activations and rotary embeddings."""
    from torch.nn import functional

    for width in _WIDTHS:
        for rows in _ROWS:
            left, right = on.tensor(1, rows, width), on.tensor(1, rows, width)
            activation, join = elementwise("activation", width, flops=8), elementwise("join", width, reads=2)
            yield Case(activation, 1, rows, 0, repeated(functional.silu, left), REPEATS)
            yield Case(activation, 1, rows, 0, repeated(functional.gelu, left), REPEATS)
            yield Case(join, 1, rows, 0, repeated(left.add, right), REPEATS)
    for heads, rows in ((6, 64), (12, 256), (12, 640), (16, 1024)):
        yield _rotary_case(on, heads, rows)


def gather_cases(on: Bench) -> Iterator[Case]:
    """Rows picked by index."""
    import torch

    for width in _WIDTHS:
        for rows in _ROWS:
            source = on.tensor(2 * rows, width)
            index = torch.randperm(2 * rows, generator=on.generator, device=on.device)[:rows].sort().values
            op = Op("rows", "gather", elements=2 * width * ROWS)
            yield Case(op, 1, rows, 0, repeated(source.index_select, 0, index), REPEATS)


def reduction_cases(on: Bench) -> Iterator[Case]:
    """Norms of token rows."""
    import torch

    for width in _WIDTHS:
        for rows in _ROWS:
            op = Op("norms", "reduction", flops=2 * width * ROWS, elements=width * ROWS)
            yield Case(op, 1, rows, 0, repeated(torch.linalg.vector_norm, on.tensor(rows, width), 2, -1), REPEATS)


def selection_cases(on: Bench) -> Iterator[Case]:
    """The highest scores of a picture, their positions in order."""
    for batch, tokens in ((1, 64), (1, 196), (1, 576), (4, 576), (1, 2304), (8, 2304)):
        for kept in (tokens // 8, tokens // 2):
            scores = on.tensor(batch, tokens)
            op = Op("top_k", "selection", ROWS, 4 * ROWS + 4 * BATCH * CONTEXT, launches=as_polynomial(3))
            yield Case(op, batch, tokens, kept, repeated(highest, scores, kept), REPEATS)


CASES: dict[str, Callable[[Bench], Iterator[Case]]] = {
    "gemm": gemm_cases,
    VECTOR: gemv_cases,
    "attention": attention_cases,
    "convolution": convolution_cases,
    "normalization": normalization_cases,
    "elementwise": elementwise_cases,
    "gather": gather_cases,
    "reduction": reduction_cases,
    "selection": selection_cases,
}
"""The cases of every kind of op, and of matrix products of one row."""


def highest(scores: torch.Tensor, kept: int) -> torch.Tensor:
    """Positions (B, kept) of the highest of `scores` (B, N), ascending; earlier ones win ties."""
    order = scores.argsort(dim=-1, descending=True, stable=True)
    return order[..., :kept].sort(dim=-1).values


def _module_case(on: Bench, module: torch.nn.Module, rows: int, width: int, *, repeats: int = REPEATS) -> Case:
    """A module with one op over `rows` token rows of `width` channels."""
    (op,) = module_ops("module", module)
    return Case(op, 1, rows, 0, repeated(on.module(module), on.tensor(1, rows, width), repeats=repeats), repeats)


def _attention_case(on: Bench, heads: int, width: int, tokens: int, context: int, *, causal: bool) -> Case:
    from torch.nn import functional

    query = on.tensor(1, heads, tokens, width)
    key, value = on.tensor(1, heads, context, width), on.tensor(1, heads, context, width)
    flag = causal and tokens > 1  # one query sees all of the cache
    run = repeated(functional.scaled_dot_product_attention, query, key, value, None, 0.0, flag)
    return Case(attention("core", heads, width, causal=causal), 1, tokens, context, run, REPEATS)


def _rotary_case(on: Bench, heads: int, rows: int, *, width: int = 64) -> Case:
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

    query, key = on.tensor(1, heads, rows, width), on.tensor(1, heads, rows, width)
    cosine, sine = on.tensor(1, rows, width), on.tensor(1, rows, width)
    rotated = 2 * heads * width
    op = Op("rotary", "elementwise", 3 * rotated * ROWS, 8 * rotated * ROWS, launches=as_polynomial(10))
    return Case(op, 1, rows, 0, repeated(apply_rotary_pos_emb, query, key, cosine, sine), REPEATS)


def repeated(
    function: Callable[..., Any], *arguments: Any, repeats: int = REPEATS, **options: Any
) -> Callable[[], object]:
    """Calls `function` `repeats` times on the same arguments."""

    def run() -> None:
        for _ in range(repeats):
            function(*arguments, **options)

    return run
