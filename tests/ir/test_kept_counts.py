"""Layouts and the one rule for how many tokens remain."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foveate.common.errors import BadInput
from foveate.ir.layout import Layout, kept_count


@given(st.integers(1, 100_000), st.floats(0, 1, exclude_min=True))
def test_kept_count_is_the_rounded_share_and_at_least_one(count: int, keep: float) -> None:
    # The rule in exact arithmetic; the float product may differ from it by one rounding where it meets a half.
    exact = Fraction(keep) * count + Fraction(1, 2)
    near_half = abs(exact - round(exact)) < Fraction(1, 10**9)
    kept = kept_count(count, keep)
    assert kept == max(1, exact.numerator // exact.denominator) or (near_half and kept in (exact // 1, exact // 1 + 1))
    assert 1 <= kept <= count


@pytest.mark.parametrize(
    ("count", "keep", "kept"),
    [
        (576, 0.25, 144),
        (576, 1.0, 576),
        (576, 1e-4, 1),
        (5, 0.5, 3),
        (3, 0.5, 2),
        (1, 0.4, 1),
        (576, 0.0, 0),
        (0, 1, 0),
    ],
)
def test_kept_counts_by_hand(count: int, keep: float, kept: int) -> None:
    assert kept_count(count, keep) == kept


@pytest.mark.parametrize("keep", [-0.1, 1.0001, float("nan"), float("inf")])
def test_a_keep_out_of_range_is_refused(keep: float) -> None:
    with pytest.raises(BadInput, match=f"keep is {keep}; it is the fraction"):
        kept_count(10, keep)


def test_a_selection_loses_the_grid_and_keeps_the_prefix() -> None:
    layout = Layout.image(24, 24, prefix=1)
    assert layout.kept(0.25) == Layout(144, None, prefix=1)
    assert layout.kept(1.0) == layout
    assert Layout(10, separators=3, prefix=1).kept(0.5).total == 5 + 3 + 1
    assert layout.without_prefix() == Layout.image(24, 24)


def test_impossible_layouts_are_refused() -> None:
    with pytest.raises(BadInput, match=r"grid \(1, 2, 3\) has 6 cells but the layout has 5 tokens"):
        Layout(5, (1, 2, 3))
    with pytest.raises(BadInput, match="must not be negative"):
        Layout(-1)
