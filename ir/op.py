"""One operation of a stage, with its exact cost in token counts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from .polynomial import BATCH, CONTEXT, ROWS, ZERO, Cost, Polynomial, as_polynomial

OpKind = Literal["gemm", "attention", "convolution", "normalization", "elementwise", "gather", "reduction", "selection"]
OP_KINDS: tuple[str, ...] = get_args(OpKind)


@dataclass(frozen=True)
class Op:
    """An operation, its work and its traffic.

    Attributes:
        name: dotted name inside its layer, such as `self_attn.q_proj`.
        kind: what limits it, the key of a device's efficiency curves.
        flops: executed floating-point operations, two per multiply-add.
        elements: activation elements read and written, to be multiplied by the activation dtype's bytes.
        weights: parameter elements read once per launch, to be multiplied by the weight dtype's bytes.
        launches: device kernels started; a greedy selector starts some for every token that it keeps.
        convention: FLOPs as papers and torch's counter give them (causal attention counted as full N x N).
        inner: the contracted width of a gemm or the head width of an attention; 0 where it has none.
        outer: the output width of a gemm or the number of heads of an attention; 0 where it has none.
    """

    name: str
    kind: OpKind
    flops: Cost = ZERO
    elements: Polynomial = ZERO
    weights: int = 0
    launches: Polynomial = field(default_factory=lambda: as_polynomial(1))
    convention: Polynomial | None = None
    inner: int = 0
    outer: int = 0

    @property
    def convention_flops(self) -> Cost:
        """FLOPs by the convention of papers; equal to the executed ones unless stated."""
        return self.flops if self.convention is None else self.convention


def gemm(name: str, inputs: int, outputs: int, *, bias: bool = False, rows: Polynomial = ROWS) -> Op:
    """A linear map of `rows` token rows from width `inputs` to `outputs`."""
    weights = inputs * outputs + (outputs if bias else 0)
    return Op(
        name,
        "gemm",
        flops=2 * inputs * outputs * rows,
        elements=(inputs + outputs) * rows,
        weights=weights,
        inner=inputs,
        outer=outputs,
    )


def attention(name: str, heads: int, head_dim: int, *, key_value_heads: int | None = None, causal: bool) -> Op:
    """Scaled dot-product attention of `tokens` queries over `context` keys, `heads` heads of width `head_dim`.

    A causal prefill computes half the scores: executed FLOPs are 2*heads*head_dim*tokens*(2*context - tokens + 1),
    which is also right for one query over a cache (tokens = 1) and for a later turn.
    """
    key_value_heads = key_value_heads or heads
    full = 4 * heads * head_dim * BATCH * Polynomial({(0, 1, 1): 1})
    executed = full if not causal else _causal_flops(heads, head_dim)
    return Op(
        name,
        "attention",
        flops=executed,
        convention=full,
        elements=2 * heads * head_dim * ROWS + 2 * key_value_heads * head_dim * BATCH * CONTEXT,
        inner=head_dim,
        outer=heads,
    )


def _causal_flops(heads: int, head_dim: int) -> Polynomial:
    """Query i of `tokens` sees context - tokens + i keys; the sum over i, times four FLOPs a score and channel."""
    scores = Polynomial({(0, 1, 1): 2, (0, 2, 0): -1, (0, 1, 0): 1})
    return 2 * heads * head_dim * BATCH * scores


def elementwise(name: str, width: int, *, reads: int = 1, writes: int = 1, flops: int = 1) -> Op:
    """A map over `width` channels of every token row."""
    return Op(name, "elementwise", flops=flops * width * ROWS, elements=(reads + writes) * width * ROWS)


def normalization(name: str, width: int, *, weights: int = 0, launches: int = 1, passes: int = 1) -> Op:
    """Layer or RMS normalisation over `width` channels of every token row.

    A fused kernel reads and writes the row once (`passes` = 1); an eager one does so for each of its steps.
    """
    return Op(
        name,
        "normalization",
        flops=5 * width * ROWS,
        elements=2 * passes * width * ROWS,
        weights=weights,
        launches=as_polynomial(launches),
    )
