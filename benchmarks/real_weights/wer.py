"""Word error rate: edits between normalised words, and its paired bootstrap over windows of speech."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

_DIGITS = dict(zip("0123456789", "zero one two three four five six seven eight nine".split(), strict=True))
_SPOKEN = {"#": " pound ", "%": " percent ", "&": " and ", "ok": "okay"}


def words(text: str) -> list[str]:
    """Lower-case words without punctuation; digits are read one by one, and signs as they are spoken.

    Example:
        >>> words("Press 10, or the # key... don't wait!")
        ['press', 'one', 'zero', 'or', 'the', 'pound', 'key', 'dont', 'wait']
    """
    text = re.sub(r"['\u2019]", "", text.lower())
    for sign, spoken in (_SPOKEN | {digit: f" {name} " for digit, name in _DIGITS.items()}).items():
        text = text.replace(sign, spoken) if not sign.isalpha() else re.sub(rf"\b{sign}\b", spoken, text)
    return re.findall(r"[a-z]+", text)


def error_rate(mistakes: NDArray[np.int64], spoken: NDArray[np.int64]) -> float:
    """All mistakes over all words."""
    return float(mistakes.sum() / spoken.sum())


def paired_difference(
    first: NDArray[np.int64], second: NDArray[np.int64], spoken: NDArray[np.int64], *, resamples: int = 4000
) -> tuple[float, float, float]:
    """(difference, low, high) of word error rates, first minus second, with its 95 % interval over the same windows.

    Args:
        first, second: (W,) mistakes in each window. spoken: (W,) words in each.

    Example:
        >>> paired_difference(np.array([2, 2]), np.array([1, 1]), np.array([10, 10]))
        (0.1, 0.1, 0.1)
    """
    drawn = np.random.default_rng(0).integers(len(spoken), size=(resamples, len(spoken)))
    gains = first - second
    rates = gains[drawn].sum(axis=1) / spoken[drawn].sum(axis=1)
    low, high = np.quantile(rates, (0.025, 0.975))
    return float(gains.sum() / spoken.sum()), float(low), float(high)
