"""Efficiency curves: interpolation, flat ends, and the refusal of curves that would reward more work."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foveate.common.errors import BadInput
from foveate.cost_models.curve import Curve


def test_a_point_between_two_is_their_geometric_mean() -> None:
    curve = Curve("flops", (1e3, 1e5), (0.1, 0.4))
    assert float(curve(1e4)) == pytest.approx((0.1 * 0.4) ** 0.5)


def test_the_ends_are_flat() -> None:
    curve = Curve("bytes", (10.0, 100.0), (0.2, 0.8))
    np.testing.assert_allclose(curve([0.0, 1.0, 10.0, 100.0, 1e12]), [0.2, 0.2, 0.2, 0.8, 0.8])


@pytest.mark.parametrize(
    ("sizes", "fractions", "complaint"),
    [
        ((), (), "at least one"),
        ((1.0, 2.0), (0.5,), "at least one"),
        ((2.0, 1.0), (0.5, 0.5), "ascending"),
        ((1.0, 1.0), (0.5, 0.5), "ascending"),
        ((1.0, 2.0), (0.0, 0.5), "above zero"),
        ((1.0, 2.0), (0.1, 0.3), "more work would take less time"),
    ],
)
def test_impossible_curves_are_refused(sizes: tuple[float, ...], fractions: tuple[float, ...], complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint):
        Curve("flops", sizes, fractions)


@given(
    steps=st.lists(st.tuples(st.floats(0.05, 3.0), st.floats(-2.0, 1.0)), min_size=1, max_size=6),
    sizes=st.tuples(st.floats(1e-3, 1e9), st.floats(1.0, 1e3)),
)
def test_more_work_never_takes_less_time(steps: list[tuple[float, float]], sizes: tuple[float, float]) -> None:
    logs = np.cumsum([1.0, *(grown for grown, _ in steps)])
    values = np.cumsum([-3.0, *(grown * slope for grown, slope in steps)])
    curve = Curve("flops", tuple(np.exp(logs).tolist()), tuple(np.exp(values).tolist()))
    smaller, larger = sizes[0], sizes[0] * sizes[1]
    assert smaller / float(curve(smaller)) <= larger / float(curve(larger)) * (1 + 1e-9)
