"""Numbers as people write them: plain decimals, exact and without exponents."""

from __future__ import annotations

from decimal import Decimal

_MOST_DIGITS = 17


def decimal(value: float, *, factor: float = 1.0) -> str:
    """The shortest plain decimal d for which `d * factor` is `value`; the nearest one where none is.

    Example:
        >>> decimal(1e6), decimal(0.07, factor=0.01), decimal(0.000125)
        ('1000000', '7', '0.000125')
    """
    quotient = value / factor
    short = (f"{quotient:.{digits}g}" for digits in range(1, _MOST_DIGITS))
    text = next((text for text in short if float(text) * factor == value), f"{quotient:.{_MOST_DIGITS}g}")
    return f"{Decimal(text):f}"
