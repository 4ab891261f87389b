"""Word error rate: edits between normalised words, and its paired bootstrap over windows of speech."""

from __future__ import annotations

import re
from collections.abc import Sequence

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


def charged(reference: Sequence[str], found: Sequence[str]) -> NDArray[np.int64]:
    """(R,) how many of the fewest edits from `reference` to `found` fall on each word of the reference.

    A word that was invented falls on the one before it, at the beginning on the first. A reference without words is
    charged nothing.

    Example:
        >>> charged(["a", "b", "c"], ["a", "x", "c", "d", "e"])
        array([0, 1, 2])
    """
    costs = np.arange(len(found) + 1)[None] + np.arange(len(reference) + 1)[:, None]
    for row, word in enumerate(reference, 1):
        for column, other in enumerate(found, 1):
            ways = costs[row - 1, column] + 1, costs[row, column - 1] + 1, costs[row - 1, column - 1] + (word != other)
            costs[row, column] = min(ways)
    charges = np.zeros(len(reference), np.int64)
    row, column = len(reference), len(found)
    while reference and (row or column):
        below, here = costs[row - 1, column - 1] if row and column else np.inf, costs[row, column]
        if row and column and here == below + (reference[row - 1] != found[column - 1]):
            row, column = row - 1, column - 1
            charges[row] += here - below
        elif row and here == costs[row - 1, column] + 1:
            row -= 1
            charges[row] += 1
        else:
            column -= 1
            charges[max(row - 1, 0)] += 1
    return charges


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
