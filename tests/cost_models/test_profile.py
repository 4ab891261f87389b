"""Device files: what comes with foveate, the round trip, and one sentence for each way to be wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from foveate.common.errors import BadInput
from foveate.cost_models import DeviceProfile, device_names, load_profile
from foveate.cost_models.curve import Curve
from foveate.cost_models.parts import PartError
from foveate.cost_models.profile import ANY, VECTOR, Efficiency, Measured, dtype_name
from foveate.ir.op import OP_KINDS

EXPECTED = {
    "a100-80g", "generic-cpu", "h100-sxm", "h200", "jetson-orin", "l4", "l40s", "mi300x", "rtx-3090", "rtx-4090", "t4",
}  # fmt: skip

DEVICE = """\
foveate_device: 1
name: box
kind: gpu
profile: datasheet
source: its datasheet
memory_bytes: 16e9
bandwidth_bytes_per_s: 320e9
peak_flops: {float16: 65e12}
prior: gpu
"""


def test_the_devices_that_come_along() -> None:
    assert set(device_names()) >= EXPECTED


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_every_device_is_whole(name: str) -> None:
    profile = load_profile(name)
    assert profile.name == name
    assert {"memory_bytes", "bandwidth_bytes_per_s", "peak_flops", "efficiency"} <= set(profile.sources)
    for kind in OP_KINDS:
        for dtype in profile.peak_flops:
            assert profile.curves(kind, dtype).memory.axis == "bytes"


def test_dense_rates_and_not_sparse_ones() -> None:
    # Each tensor core rate doubles as the element halves; sparse figures would be twice these.
    assert load_profile("h100-sxm").peak("bfloat16") == pytest.approx(989.5e12)
    assert load_profile("h200").bandwidth_bytes_per_s == pytest.approx(4.8e12)
    assert load_profile("a100-80g").peak("float16") == pytest.approx(312e12)


def test_a_device_without_a_dtype_says_so() -> None:
    with pytest.raises(BadInput, match=r"t4 has no peak rate for bfloat16; use one of float16, float32, int8"):
        load_profile("t4").peak("bfloat16")


@pytest.mark.parametrize(("short", "full"), [("fp16", "float16"), ("fp32", "float32"), ("int8", "int8")])
def test_short_names_of_dtypes_are_taken(short: str, full: str) -> None:
    assert dtype_name(short) == full
    assert load_profile("t4").peak(short) == load_profile("t4").peak(full)


def test_an_unknown_dtype_offers_the_nearest() -> None:
    with pytest.raises(BadInput, match="did you mean 'bf16'"):
        dtype_name("bf17")


@pytest.mark.parametrize("name", ["l4", "generic-cpu"])
def test_a_profile_survives_its_file(tmp_path: Path, name: str) -> None:
    profile = load_profile(name)
    assert load_profile(profile.save(tmp_path / "device.yaml")) == profile


def test_a_measured_profile_survives_its_file(tmp_path: Path, device: DeviceProfile) -> None:
    circumstances = Measured("a machine", "2026-01-02", {"torch": "2.13.0"}, {"compute_ms": 2.5, "stream_ms": 6.0})
    one_row = {VECTOR: {ANY: Efficiency(Curve("rows", (1.0,), (0.2,)), Curve("inner", (192.0, 768.0), (0.2, 0.4)))}}
    profile = replace(device, profile="measured", threads=2, measured=circumstances, causal_skips=False)
    profile = replace(profile, scales={"encoder": 1.2, "passes": 0.9, "passes.greedy": 0.3}, step_overhead_us=12.5)
    profile = replace(profile, errors={"decode": PartError(0.9, 1.1, 5.0, 50.0)}, overlaps=False)
    profile = replace(profile, efficiency={**profile.efficiency, **one_row})
    assert load_profile(profile.save(tmp_path / "device.yaml")) == profile


def test_an_interval_widens_outside_what_was_measured() -> None:
    error = PartError(0.8, 1.25, shortest_ms=10.0, longest_ms=100.0)
    assert error.bounds(10.0) == error.bounds(100.0) == (0.8, 1.25)
    assert error.bounds(1.0) == pytest.approx((0.8**2, 1.25**2))
    assert error.bounds(1e4) == pytest.approx((0.8**3, 1.25**3))
    assert error.bounds(0.0) == (0.8, 1.25)


def test_a_primitive_without_its_own_figures_has_those_of_all_passes(device: DeviceProfile) -> None:
    known = {"passes": PartError(0.5, 2.0, 1.0, 10.0), "passes.greedy": PartError(0.9, 1.1, 1.0, 10.0)}
    profile = replace(device, scales={"passes": 0.7, "passes.greedy": 0.2}, errors=known)
    assert [profile.scale(part) for part in ("passes.greedy", "passes.merge", "decode")] == [0.2, 0.7, 1.0]
    assert profile.bounds("passes.greedy", 5.0) == (0.9, 1.1)
    assert profile.bounds("passes.merge", 5.0) == (0.5, 2.0)
    assert profile.bounds("decode", 5.0) == profile.error


def test_a_profile_is_its_own_profile(device: DeviceProfile) -> None:
    assert load_profile(device) is device


def test_an_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(BadInput, match="did you mean 'h100-sxm'"):
        load_profile("h100-smx")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file"):
        load_profile(tmp_path / "nothing.yaml")


def test_a_file_may_replace_the_curves_of_one_kind(tmp_path: Path) -> None:
    own = "efficiency:\n  gemm: {any: {compute: {rows: [[1, 0.5]]}, memory: [[1, 0.25]]}}\n"
    profile = load_profile(_written(tmp_path, DEVICE + own))
    assert profile.curves("gemm", "float16").compute.axis == "rows"
    assert profile.curves("attention", "float16") == load_profile("l4").curves("attention", "float16")


@pytest.mark.parametrize(
    ("text", "line", "complaint"),
    [
        ("foveate: 1\nplacements: []\n", 1, "not a device profile"),
        ("- 1\n", 1, "not a device profile"),
        (DEVICE.replace("foveate_device: 1", "foveate_device: 2"), 1, "schema version 2"),
        (DEVICE.replace("memory_bytes: 16e9\n", ""), 1, "memory_bytes is missing"),
        (DEVICE.replace("16e9", "-1"), 6, "memory_bytes is -1"),
        (DEVICE.replace("320e9", "0"), 7, "bandwidth_bytes_per_s is 0"),
        (DEVICE.replace("320e9", ".inf"), 7, "finite"),
        (DEVICE.replace("float16:", "float17:"), 8, "did you mean 'float16'"),
        (DEVICE.replace("{float16: 65e12}", "{}"), 8, "peak_flops"),
        (DEVICE.replace("prior: gpu\n", "prior: gpus\n"), 9, "did you mean 'gpu'"),
        (DEVICE.replace("prior: gpu\n", ""), 1, "launch_overhead_us is missing"),
        (DEVICE.replace("kind: gpu", "kind: tpu"), 3, "kind is 'tpu'"),
        (DEVICE.replace("profile: datasheet", "profile: measured"), 1, "machine, date, versions"),
        (DEVICE.replace("bandwidth_bytes_per_s", "bandwith_bytes_per_s"), 7, "did you mean 'bandwidth_bytes_per_s'"),
        (DEVICE + "error: [1.5, 2]\n", 10, "low <= 1 <= high"),
        (DEVICE + "launch_overhead_us: -3\n", 10, "launch_overhead_us is -3"),
        (DEVICE + "step_overhead_us: -3\n", 10, "step_overhead_us is -3"),
        (DEVICE + "scales: {encodr: 1.1}\n", 10, "did you mean 'encoder'"),
        (DEVICE + "scales: {encoder: 0}\n", 10, "scales"),
        (
            DEVICE + "errors: {decod: {low: 0.9, high: 1.1, shortest_ms: 1, longest_ms: 2}}\n",
            10,
            "did you mean 'decode'",
        ),
        (DEVICE + "errors: {decode: {low: 1.2, high: 1.1, shortest_ms: 1, longest_ms: 2}}\n", 10, "low is 1.2"),
        (DEVICE + "threads: 0\n", 10, "threads is 0"),
        (
            DEVICE + "efficiency: {gemmm: {any: {compute: {rows: [[1, 1]]}, memory: [[1, 1]]}}}\n",
            10,
            "did you mean 'gemm'",
        ),
        (DEVICE + "efficiency: {gemm: {any: {compute: {}, memory: [[1, 1]]}}}\n", 10, "over flops or over rows"),
        (DEVICE + "efficiency: {gemm: {any: {compute: {rows: [[1, 1]]}, memory: []}}}\n", 10, "memory"),
        (
            DEVICE + "efficiency: {gemm: {any: {compute: {rows: [[1, 0.1], [2, 0.9]]}, memory: [[1, 1]]}}}\n",
            10,
            "less time",
        ),
        (
            DEVICE + "efficiency: {gemm: {int8: {compute: {rows: [[1, 1]]}, memory: [[1, 1]]}}}\n",
            10,
            "no efficiency curves for gemm at float16",
        ),
    ],
)
def test_a_wrong_file_is_refused_with_its_line(tmp_path: Path, text: str, line: int, complaint: str) -> None:
    path = _written(tmp_path, text)
    with pytest.raises(BadInput) as error:
        load_profile(path)
    assert f"{path}, line {line}:" in str(error.value)
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)


def _written(folder: Path, text: str) -> Path:
    path = folder / "device.yaml"
    path.write_text(text, encoding="utf-8")
    return path
