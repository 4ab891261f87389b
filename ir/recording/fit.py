"""Exact polynomials in (batch, tokens) through recorded costs."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from ..polynomial import Polynomial

Point = tuple[int, int]
"""(batch, tokens) of one run."""


def fitted(values: Mapping[Point, int], base: Point) -> Polynomial | None:
    """The polynomial with terms 1, t, b, b t and b t^2 that takes each of `values`, None where none does.

    Args:
        values: cost at each point: four token counts in steps of -u at the base batch, and two of them at one more.
        base: the point with the most tokens at the smaller batch.
    """
    batch, tokens = base
    at_base = sorted((t for b, t in values if b == batch), reverse=True)
    more = sorted((t for b, t in values if b != batch), reverse=True)
    v = [Fraction(values[batch, t]) for t in at_base]
    step = at_base[0] - at_base[1]
    curve = (v[0] - 2 * v[1] + v[2]) / (2 * step * step)
    slope = (v[0] - v[1]) / step - curve * (at_base[0] + at_base[1])
    level = v[0] - slope * tokens - curve * tokens * tokens
    if more:
        other = next(b for b, _ in values if b != batch)
        gains = [(values[other, t] - values[batch, t]) / Fraction(other - batch) for t in more]
        square = curve / batch
        linear = (gains[0] - gains[1]) / (more[0] - more[1]) - square * (more[0] + more[1])
        constant = gains[0] - linear * more[0] - square * more[0] * more[0]
    else:
        square, linear, constant = curve / batch, slope / batch, level / batch
    terms = {
        (1, 2, 0): square,
        (1, 1, 0): linear,
        (1, 0, 0): constant,
        (0, 1, 0): slope - batch * linear,
        (0, 0, 0): level - batch * constant,
    }
    if any(value.denominator != 1 for value in terms.values()):
        return None
    found = Polynomial({powers: int(value) for powers, value in terms.items()})
    right = all(found(batch=b, tokens=t, context=0) == value for (b, t), value in values.items())
    return found if right else None


def scaled(value: int, base: Point) -> Polynomial:
    """A cost known at one point only: linear in rows where that is exact, else in the batch, else constant."""
    batch, tokens = base
    if value % (batch * tokens) == 0:
        return Polynomial({(1, 1, 0): value // (batch * tokens)})
    return Polynomial({(1, 0, 0): value // batch}) if value % batch == 0 else Polynomial({(0, 0, 0): value})
