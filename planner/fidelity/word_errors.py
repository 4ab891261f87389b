"""Word errors of a transcript, as a task's metric."""

from __future__ import annotations

import re
from collections.abc import Sequence


def word_accuracy(answer: str, expected: str) -> float:
    """1 minus the word error rate of a transcript, 0 where it has more errors than words.

    Case and punctuation do not count.

    >>> word_accuracy("The cat sat, there.", "the cat sat here"), word_accuracy("no no no", "yes")
    (0.75, 0.0)
    """
    spoken = _words(expected)
    return max(0.0, 1 - edits(spoken, _words(answer)) / max(1, len(spoken)))


def edits(reference: Sequence[str], found: Sequence[str]) -> int:
    """Fewest words to insert, delete or replace (Levenshtein), O(R F) time and O(F) memory.

    >>> edits(["a", "b", "c"], ["a", "x", "c", "d"])
    2
    """
    row = list(range(len(found) + 1))
    for number, word in enumerate(reference, 1):
        corner, row[0] = row[0], number
        for place, other in enumerate(found, 1):
            corner, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, corner + (word != other))
    return row[-1]


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", re.sub(r"['\u2019]", "", text.lower()))
