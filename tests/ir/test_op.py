"""Operations: their FLOPs against sums written out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from foveate.ir.op import attention, elementwise, gemm, normalization

small = st.integers(1, 9)


@given(batch=small, tokens=small, past=st.integers(0, 20), heads=small, width=small)
def test_causal_attention_counts_every_visible_key(batch: int, tokens: int, past: int, heads: int, width: int) -> None:
    context = past + tokens
    visible = sum(past + query + 1 for query in range(tokens))
    op = attention("core", heads, width, causal=True)
    # Two multiply-adds for each visible pair, head and channel: one in q k^T, one in the weighted sum.
    assert op.flops(batch=batch, tokens=tokens, context=context) == 4 * batch * heads * width * visible
    assert op.convention_flops(batch=batch, tokens=tokens, context=context) == (
        4 * batch * heads * width * tokens * context
    )


@given(batch=small, tokens=small, heads=small, width=small)
def test_full_attention_counts_every_pair(batch: int, tokens: int, heads: int, width: int) -> None:
    op = attention("core", heads, width, causal=False)
    counts = {"batch": batch, "tokens": tokens, "context": tokens}
    assert op.flops(**counts) == op.convention_flops(**counts) == 4 * batch * heads * width * tokens**2


@given(batch=small, tokens=small, context=small, groups=small, repeats=small, width=small)
def test_attention_reads_queries_and_grouped_keys_and_writes_one_result(
    batch: int, tokens: int, context: int, groups: int, repeats: int, width: int
) -> None:
    op = attention("core", groups * repeats, width, key_value_heads=groups, causal=True)
    queries, keys = batch * tokens * groups * repeats * width, batch * context * groups * width
    assert op.elements(batch=batch, tokens=tokens, context=context) == 2 * queries + 2 * keys


@given(batch=small, tokens=small, inputs=small, outputs=small, bias=st.booleans())
def test_gemm(batch: int, tokens: int, inputs: int, outputs: int, bias: bool) -> None:
    op = gemm("proj", inputs, outputs, bias=bias)
    rows = batch * tokens
    counts = {"batch": batch, "tokens": tokens, "context": 1}
    assert op.flops(**counts) == 2 * rows * inputs * outputs
    assert op.elements(**counts) == rows * inputs + rows * outputs
    assert op.weights == (inputs + bias) * outputs
    assert (op.inner, op.outer) == (inputs, outputs)


def test_maps_and_norms_touch_each_channel_once_in_and_once_out() -> None:
    counts = {"batch": 2, "tokens": 5, "context": 1}
    assert elementwise("add", 8, reads=2).elements(**counts) == 2 * 5 * 8 * 3
    assert normalization("norm", 8, weights=8, launches=6).elements(**counts) == 2 * 5 * 8 * 2
    assert normalization("norm", 8, weights=8, launches=6).launches(**counts) == 6
