"""Polynomials against Python integers: evaluation is a ring homomorphism, exact and broadcast."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foveate.ir.polynomial import BATCH, CONTEXT, ROWS, TOKENS, ZERO, Polynomial, as_polynomial

powers = st.tuples(*[st.integers(0, 3)] * 3)
polynomials = st.dictionaries(powers, st.integers(-(10**9), 10**9), max_size=5).map(Polynomial)
counts = st.fixed_dictionaries({name: st.integers(0, 10**5) for name in ("batch", "tokens", "context")})


def by_hand(polynomial: Polynomial, at: dict[str, int]) -> int:
    return sum(
        value * at["batch"] ** a * at["tokens"] ** b * at["context"] ** c
        for (a, b, c), value in polynomial.terms.items()
    )


@given(polynomials, counts)
def test_a_value_is_the_exact_sum_of_its_terms(p: Polynomial, at: dict[str, int]) -> None:
    value = p(**at)
    assert isinstance(value, int)
    assert value == by_hand(p, at)


@given(polynomials, polynomials, st.integers(-50, 50), counts)
def test_sums_and_products_commute_with_evaluation(p: Polynomial, q: Polynomial, n: int, at: dict[str, int]) -> None:
    x, y = by_hand(p, at), by_hand(q, at)
    assert (p + q)(**at) == x + y
    assert (p * q)(**at) == x * y
    assert (n + p)(**at) == (p + n)(**at) == n + x
    assert (n * p)(**at) == (p * n)(**at) == n * x


@given(polynomials, polynomials, polynomials)
def test_ring_laws(p: Polynomial, q: Polynomial, r: Polynomial) -> None:
    assert p + q == q + p
    assert p * q == q * p
    assert (p + q) + r == p + (q + r)
    assert (p * q) * r == p * (q * r)
    assert p * (q + r) == p * q + p * r
    assert p + ZERO == p == 1 * p
    assert p + -1 * p == ZERO == 0 * p


@given(polynomials, polynomials)
def test_equal_polynomials_have_equal_hashes_whatever_the_order(p: Polynomial, q: Polynomial) -> None:
    assert hash(p + q) == hash(q + p)
    assert Polynomial(dict(reversed(p.terms.items()))) == p
    assert p != object()


def test_numpy_arrays_are_broadcast() -> None:
    polynomial = 3 * ROWS + 2 * BATCH * CONTEXT * CONTEXT + 5
    batch, tokens = np.array([[1], [2]]), np.array([7, 11, 13])
    value = polynomial(batch=batch, tokens=tokens, context=4)
    assert value.shape == (2, 3)
    for i, b in enumerate((1, 2)):
        assert list(value[i]) == [polynomial(batch=b, tokens=t, context=4) for t in (7, 11, 13)]


def test_large_counts_in_integer_arrays_do_not_overflow() -> None:
    cube = TOKENS * TOKENS * TOKENS
    large = 3_000_000
    value = cube(batch=1, tokens=np.array([large], dtype=np.int32), context=1)
    assert value[0] == pytest.approx(large**3, rel=1e-12)


def test_terms_cannot_be_changed_and_zeros_are_dropped() -> None:
    polynomial = Polynomial({(0, 1, 0): 2, (0, 0, 1): 0})
    assert dict(polynomial.terms) == {(0, 1, 0): 2}
    with pytest.raises(TypeError):
        polynomial.terms[(0, 0, 0)] = 1  # type: ignore[index]


def test_text_form() -> None:
    assert str(2 * BATCH * TOKENS * TOKENS + CONTEXT) == "1*context + 2*batch*tokens^2"
    assert str(ZERO) == "0"
    assert as_polynomial(7)(batch=1, tokens=1, context=1) == 7
