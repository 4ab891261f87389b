"""Polynomials in the token counts of one operation: exact costs that can be evaluated for many plans at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Union

import numpy as np
import numpy.typing as npt

Exponents = tuple[int, int, int]
"""Powers of (batch, tokens, context)."""

Number = Union[int, float, "npt.NDArray[Any]"]


@dataclass(frozen=True)
class Polynomial:
    """A sum of `coefficient * batch**a * tokens**b * context**c` with exact integer coefficients.

    `batch` is the number of independent sequences, `tokens` the query tokens of each, `context` the key tokens that
    each attends to. In the cost of a compression pass `tokens` is the count that arrives and `context` the count kept.

    Example:
        >>> gemm = 2 * 8 * 16 * BATCH * TOKENS
        >>> gemm(batch=1, tokens=10, context=0)
        2560
        >>> (gemm + TOKENS * CONTEXT)(batch=1, tokens=10, context=3)
        2590
    """

    terms: Mapping[Exponents, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kept = {powers: value for powers, value in sorted(self.terms.items()) if value}
        object.__setattr__(self, "terms", MappingProxyType(kept))

    def __call__(self, *, batch: Number, tokens: Number, context: Number) -> Any:
        """Value at the given counts; integers stay exact, numpy arrays are broadcast."""
        total: Any = 0
        for (a, b, c), coefficient in self.terms.items():
            total = total + coefficient * _power(batch, a) * _power(tokens, b) * _power(context, c)
        return total

    def __add__(self, other: Polynomial | int) -> Polynomial:
        terms = dict(self.terms)
        for powers, value in as_polynomial(other).terms.items():
            terms[powers] = terms.get(powers, 0) + value
        return Polynomial(terms)

    __radd__ = __add__

    def __mul__(self, other: Polynomial | int) -> Polynomial:
        terms: dict[Exponents, int] = {}
        for left, x in self.terms.items():
            for right, y in as_polynomial(other).terms.items():
                powers = (left[0] + right[0], left[1] + right[1], left[2] + right[2])
                terms[powers] = terms.get(powers, 0) + x * y
        return Polynomial(terms)

    __rmul__ = __mul__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Polynomial) and dict(self.terms) == dict(other.terms)

    def __hash__(self) -> int:
        return hash(tuple(self.terms.items()))

    def __str__(self) -> str:
        names = ("batch", "tokens", "context")
        parts = []
        for powers, value in self.terms.items():
            factors = [name if p == 1 else f"{name}^{p}" for name, p in zip(names, powers, strict=True) if p]
            parts.append("*".join([str(value), *factors]))
        return " + ".join(parts) or "0"


@dataclass(frozen=True)
class Band:
    """The cost of causal attention through a sliding window: `scale` for each key that a query sees.

    Query i of `tokens` stands at position context - tokens + i and sees the last `window` keys up to its own.

    Example:
        >>> Band(4, 2)(batch=1, tokens=3, context=3)  # 1 + 2 + 2 keys
        20
        >>> Band(4, 2)(batch=1, tokens=1, context=100)
        8
    """

    scale: int
    window: int

    def __call__(self, *, batch: Number, tokens: Number, context: Number) -> Any:
        """Value at the given counts; integers stay exact, numpy arrays are broadcast."""
        pairs = self._twice_seen(context) - self._twice_seen(context - tokens)
        if self.scale % 2 == 0:
            return self.scale // 2 * batch * pairs
        return self.scale * batch * pairs / 2

    def _twice_seen(self, keys: Number) -> Any:
        """Twice the keys that queries 0 .. keys - 1 see."""
        near: Any = np.minimum(keys, self.window) if isinstance(keys, np.ndarray) else min(keys, self.window)
        return near * (near + 1) + 2 * (keys - near) * self.window

    def __str__(self) -> str:
        return f"{self.scale}*batch*band(tokens, context, {self.window})"


Cost = Polynomial | Band
"""What an operation's FLOPs can be."""


def _power(base: Number, exponent: int) -> Any:
    """`base**exponent` without turning integer arrays into overflowing ones."""
    if exponent == 0:
        return 1
    value = base.astype(np.float64) if isinstance(base, np.ndarray) else base
    return value**exponent


def as_polynomial(value: Polynomial | int) -> Polynomial:
    """An integer as a constant polynomial; a polynomial as itself."""
    return value if isinstance(value, Polynomial) else Polynomial({(0, 0, 0): value})


ZERO = Polynomial()
BATCH = Polynomial({(1, 0, 0): 1})
TOKENS = Polynomial({(0, 1, 0): 1})
CONTEXT = Polynomial({(0, 0, 1): 1})
ROWS = BATCH * TOKENS
"""Token rows over the whole batch."""
