"""The attention pooling head of SigLIP towers: one learned query reads all tokens, and an MLP follows on that row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .module_ops import module_ops
from .op import Op, gemm
from .polynomial import BATCH, ROWS, Polynomial

if TYPE_CHECKING:
    from torch import nn


def pooling_heads(module: nn.Module) -> dict[str, nn.Module]:
    """The pooling heads inside `module`, by dotted name."""
    return {name: m for name, m in module.named_modules() if type(m).__name__.endswith("PoolingHead")}


def pooling_head_ops(name: str, head: Any) -> Iterator[Op]:
    """The operations of a head with a `torch.nn.MultiheadAttention` called `attention`, a norm and an MLP."""
    heads, width = int(head.attention.num_heads), int(head.attention.embed_dim)
    yield gemm(f"{name}.query", width, width, bias=True, rows=BATCH)
    yield gemm(f"{name}.key_value", width, 2 * width, bias=True)
    yield Op(
        f"{name}.core",
        "attention",
        flops=4 * width * ROWS,
        elements=2 * width * BATCH + 2 * width * ROWS,
        inner=width // heads,
        outer=heads,
    )
    for inner, module in head.named_modules():
        if module is not head.attention:
            for op in module_ops(f"{name}.{inner}", module):
                yield replace(op, flops=_one_row(op.flops), elements=_one_row(op.elements))


def _one_row(cost: Polynomial) -> Polynomial:
    """The cost for one token in place of all."""
    terms: dict[tuple[int, int, int], int] = {}
    for (batch, _, _), value in cost.terms.items():
        terms[batch, 0, 0] = terms.get((batch, 0, 0), 0) + value
    return Polynomial(terms)
