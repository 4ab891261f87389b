"""The fit recovers curves that made the samples."""

from __future__ import annotations

import numpy as np
import pytest

from foveate.common.errors import BadInput
from foveate.cost_models.curve import Curve
from foveate.cost_models.fit import Samples, fit_kind

PEAK, BANDWIDTH = 1e11, 2e10


def _gemm_samples(compute: Curve, memory: Curve, noise: float = 0.0, *, overlaps: bool = True) -> Samples:
    rows, width = (axis.ravel() for axis in np.meshgrid([1.0, 4, 16, 64, 256, 1024], [192.0, 384, 768, 1536, 3072]))
    flops, traffic = 2 * rows * width**2, 4 * (2 * rows * width + width**2)
    arithmetic, moved = flops / (PEAK * compute(rows)), traffic / (BANDWIDTH * memory(traffic))
    work = np.maximum(arithmetic, moved) if overlaps else arithmetic + moved
    scatter = np.exp(noise * np.random.default_rng(0).standard_normal(len(rows)))
    overhead = np.full(len(rows), 2e-6)
    return Samples(rows, traffic, flops, traffic, overhead, (overhead + work) * scatter)


def test_samples_of_known_curves_are_explained() -> None:
    samples = _gemm_samples(Curve("rows", (1.0, 16.0, 256.0), (0.1, 0.5, 0.95)), Curve("bytes", (1e5, 1e7), (0.9, 0.5)))
    fit = fit_kind(samples, axes=("rows", "bytes"), peak=PEAK, bandwidth=BANDWIDTH)
    assert fit.median_error < 0.03
    assert fit.p90_error < 0.3
    # Far above the ridge the arithmetic decides, so that end of the curve is known.
    assert float(fit.efficiency.compute(1024.0)) == pytest.approx(0.95, rel=0.05)


def test_noise_widens_the_error_and_not_the_curve() -> None:
    truth = Curve("rows", (1.0,), (0.6,)), Curve("bytes", (1.0,), (0.7,))
    fit = fit_kind(_gemm_samples(*truth, noise=0.1), axes=("rows", "bytes"), peak=PEAK, bandwidth=BANDWIDTH)
    assert 0.03 < fit.median_error < 0.15
    assert float(fit.efficiency.compute(512.0)) == pytest.approx(0.6, rel=0.15)


def test_work_that_does_not_overlap_is_told_from_work_that_does() -> None:
    truth = Curve("rows", (1.0,), (0.9,)), Curve("bytes", (1e5, 1e7), (0.3, 0.5))
    samples, machine = _gemm_samples(*truth, overlaps=False), {"peak": PEAK, "bandwidth": BANDWIDTH}
    sums, larger = (fit_kind(samples, axes=("rows", "bytes"), **machine, overlaps=one) for one in (False, True))
    assert sums.median_error < 0.02 < larger.median_error
    assert float(sums.efficiency.compute(1024.0)) == pytest.approx(0.9, rel=0.05)


def test_no_fraction_of_the_peak_is_above_one() -> None:
    samples = _gemm_samples(Curve("rows", (1.0,), (3.0,)), Curve("bytes", (1.0,), (5.0,)))
    fit = fit_kind(samples, axes=("rows", "bytes"), peak=PEAK, bandwidth=BANDWIDTH)
    assert max(fit.efficiency.compute.fractions) <= 1.0
    assert max(fit.efficiency.memory.fractions) > 1.0


def test_work_without_arithmetic_is_all_memory() -> None:
    traffic = np.geomspace(1e3, 1e8, 12)
    nothing, seconds = np.zeros(12), traffic / (0.5 * BANDWIDTH)
    samples = Samples(nothing, traffic, nothing, traffic, nothing, seconds)
    fit = fit_kind(samples, axes=("flops", "bytes"), peak=PEAK, bandwidth=BANDWIDTH)
    assert fit.p90_error < 0.02
    np.testing.assert_allclose(fit.efficiency.memory(traffic), 0.5, rtol=0.05)


def test_too_few_samples_are_refused() -> None:
    two = np.ones(2)
    with pytest.raises(BadInput, match="6 timed cases"):
        fit_kind(Samples(*[two] * 6), axes=("flops", "bytes"), peak=PEAK, bandwidth=BANDWIDTH)
