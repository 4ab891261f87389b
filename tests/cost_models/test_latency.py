"""Op latency against numbers worked out by hand on a device with round rates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foveate.common.errors import BadInput
from foveate.cost_models import DeviceProfile, device_names, load_profile
from foveate.cost_models.curve import Curve
from foveate.cost_models.latency import Pricer
from foveate.cost_models.profile import ANY, VECTOR, Efficiency
from foveate.ir.op import Op, attention, elementwise, gemm, normalization
from foveate.ir.polynomial import CONTEXT, as_polynomial


def test_a_large_gemm_is_bound_by_arithmetic(device: DeviceProfile) -> None:
    # 2 * 1000 rows * 100 * 200 = 40 MFLOP at 1 GFLOP/s = 40 ms, and 2 us for its kernel.
    found = Pricer(device, "float32").op_ms(gemm("g", 100, 200), batch=1, tokens=1000, context=0)
    assert float(found) == pytest.approx(40.002)


def test_a_gemm_of_one_row_is_bound_by_its_weights(device: DeviceProfile) -> None:
    # 4 bytes * (100 + 200 activations + 20 000 weights) = 81 200 bytes at 1 GB/s.
    found = Pricer(device, "float32").op_ms(gemm("g", 100, 200), batch=1, tokens=1, context=0)
    assert float(found) == pytest.approx(0.0812 + 0.002)


def test_weights_have_their_own_dtype(device: DeviceProfile) -> None:
    # 2 * 300 activation bytes and half a byte for each of 20 000 weights.
    pricer = Pricer(device, "bfloat16", "int4")
    assert float(pricer.bytes(gemm("g", 100, 200), batch=1, tokens=1, context=0)) == 600 + 10_000


def test_curves_scale_both_bounds(device: DeviceProfile) -> None:
    half = Efficiency(Curve("flops", (1.0,), (0.5,)), Curve("bytes", (1.0,), (0.25,)))
    slow = replace(device, efficiency={**device.efficiency, "gemm": {"float32": half}})
    prefill, decode = Pricer(slow, "float32").op_ms(gemm("g", 100, 200), batch=1, tokens=np.array([1000, 1]), context=0)
    assert float(prefill) == pytest.approx(80.002)
    assert float(decode) == pytest.approx(4 * 0.0812 + 0.002)


def test_curves_of_a_dtype_come_before_those_of_any(device: DeviceProfile) -> None:
    half = Efficiency(Curve("flops", (1.0,), (0.5,)), Curve("bytes", (1.0,), (1.0,)))
    both = {ANY: device.efficiency["gemm"][ANY], "bfloat16": half}
    mixed = replace(device, efficiency={**device.efficiency, "gemm": both})
    counts = {"batch": 1, "tokens": 1000, "context": 0}
    assert float(Pricer(mixed, "bfloat16").op_ms(gemm("g", 100, 200), **counts)) == pytest.approx(40.002)
    assert float(Pricer(mixed, "float32").op_ms(gemm("g", 100, 200), **counts)) == pytest.approx(40.002)


def test_rows_are_read_from_the_flops_of_a_gemm(device: DeviceProfile) -> None:
    rows = Efficiency(Curve("rows", (10.0, 1000.0), (0.01, 1.0)), Curve("bytes", (1.0,), (1e6,)))
    by_rows = replace(device, efficiency={**device.efficiency, "gemm": {ANY: rows}})
    # Two sequences of 50 are 100 rows, where the curve is at 0.1: 4 MFLOP take 40 ms.
    found = Pricer(by_rows, "float32").op_ms(gemm("g", 100, 200), batch=2, tokens=50, context=0)
    assert float(found) == pytest.approx(40.002)


def test_times_add_up_where_they_do_not_overlap(device: DeviceProfile) -> None:
    # 40 ms of arithmetic, and 4 bytes * (1000 rows * 300 activations + 20 000 weights) at 1 GB/s.
    added = Pricer(replace(device, overlaps=False), "float32")
    found = added.op_ms(gemm("g", 100, 200), batch=1, tokens=1000, context=0)
    assert float(found) == pytest.approx(40.002 + 1.28)


def test_one_row_has_curves_of_its_own(device: DeviceProfile) -> None:
    # Dot products of 100 numbers are read at twice the bandwidth: 81 200 bytes at 2 GB/s, and 2 us for the kernel.
    alone = Efficiency(Curve("rows", (1.0,), (1.0,)), Curve("inner", (50.0, 200.0), (1.0, 4.0)))
    own = replace(device, efficiency={**device.efficiency, VECTOR: {ANY: alone}})
    counts = {"batch": 1, "tokens": np.array([1, 2]), "context": 0}
    found = Pricer(own, "float32").op_ms(gemm("g", 100, 200), **counts)
    assert float(found[0]) == pytest.approx(0.0406 + 0.002)
    assert found[1] == Pricer(device, "float32").op_ms(gemm("g", 100, 200), **counts)[1]


def test_every_launch_costs(device: DeviceProfile) -> None:
    greedy = Op("greedy", "selection", launches=as_polynomial(1) + 3 * CONTEXT)
    found = Pricer(device, "float32").op_ms(greedy, batch=1, tokens=576, context=144)
    assert float(found) == pytest.approx(433 * 0.002)


def test_causal_attention_is_halved_only_where_the_device_skips(device: DeviceProfile) -> None:
    op, counts = attention("core", 2, 8, causal=True), {"batch": 1, "tokens": 100, "context": 100}
    saved = float(Pricer(device, "float32").flops(op, **counts))
    whole = float(Pricer(replace(device, causal_skips=False), "float32").flops(op, **counts))
    assert (saved, whole) == (2 * 2 * 8 * 100 * 101, 4 * 2 * 8 * 100 * 100)


def test_a_gpu_overlaps_host_and_device_and_a_cpu_does_not(device: DeviceProfile) -> None:
    busy = replace(device, call_overhead_us=100.0, stage_overhead_us=1000.0)
    gpu = replace(busy, kind="gpu")
    assert Pricer(busy, "float32").joined_ms(5.0, calls=30, runs=1) == pytest.approx(9.0)
    assert Pricer(gpu, "float32").joined_ms(5.0, calls=30, runs=1) == pytest.approx(5.0)
    assert Pricer(gpu, "float32").joined_ms(3.0, calls=30, runs=1) == pytest.approx(4.0)


@pytest.mark.parametrize(("dtype", "weights"), [("float31", None), ("float16", None), ("float32", "int5")])
def test_a_dtype_that_cannot_be_priced_is_refused(device: DeviceProfile, dtype: str, weights: str | None) -> None:
    with pytest.raises(BadInput, match=r"dtype|no peak rate"):
        Pricer(device, dtype, weights)


@given(
    name=st.sampled_from(device_names()),
    op=st.sampled_from(
        [
            gemm("g", 768, 3072),
            attention("a", 12, 64, causal=True),
            attention("a", 12, 64, causal=False),
            normalization("n", 768),
            elementwise("e", 768, reads=2),
        ]
    ),
    tokens=st.integers(1, 4096),
    more=st.integers(1, 4096),
    batch=st.integers(1, 8),
)
def test_more_tokens_are_never_cheaper(name: str, op: Op, tokens: int, more: int, batch: int) -> None:
    counts = np.array([tokens, tokens + more])
    fewer, many = Pricer(load_profile(name), "float32").op_ms(op, batch=batch, tokens=counts, context=counts)
    assert fewer <= many * (1 + 1e-9)
