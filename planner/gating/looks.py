"""Looking again until the noise allows a verdict: rounds are added while a figure's interval straddles its limit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

from ...common.errors import BadInput

Outcome = Literal["held", "broken", "undecided"]


class Decided(Protocol):
    """What carries a verdict."""

    @property
    def verdict(self) -> Outcome:
        """`held`, `broken` or `undecided`."""


Found = TypeVar("Found", bound=Decided)


@dataclass(frozen=True)
class Looks:
    """How long the gate goes on: each look doubles the rounds, until nothing is undecided.

    Every look is another chance to be wrong, so the error that `confidence` allows is shared out between them
    (Bonferroni): all looks together are wrong as rarely as one look alone would be.

    Attributes:
        rounds: of the first look. count: the most looks; with 7 the last one sees 64 times `rounds`.
        confidence: of the verdict. seconds: no look is begun after this time.

    Example:
        >>> list(Looks(rounds=5, count=4).added()), round(Looks(count=5).each, 3)
        ([5, 5, 10, 20], 0.99)
    """

    rounds: int = 21
    count: int = 7
    confidence: float = 0.95
    seconds: float = 120.0

    def __post_init__(self) -> None:
        if self.rounds < 3 or self.count < 1 or not 0 < self.confidence < 1:
            raise BadInput("a measured check needs at least three rounds, one look, and a confidence between 0 and 1")

    @property
    def each(self) -> float:
        """The confidence of the interval of each look."""
        return 1 - (1 - self.confidence) / self.count

    def added(self) -> Iterator[int]:
        """The rounds that each look adds to those before it."""
        yield self.rounds
        yield from (self.rounds * 2**step for step in range(self.count - 1))


def decide(low: float, high: float, limit: float, *, at_least: bool = False) -> Outcome:
    """The verdict for a figure with interval [`low`, `high`]: broken only where all of it is past the limit.

    >>> decide(9.0, 9.9, 10.0), decide(9.5, 10.5, 10.0), decide(10.1, 11.0, 10.0)
    ('held', 'undecided', 'broken')
    """
    if at_least:
        return "held" if low >= limit else "broken" if high < limit else "undecided"
    return "held" if high <= limit else "broken" if low > limit else "undecided"


def until_decided(
    take: Callable[[int], object], judge: Callable[[float], Sequence[Found]], looks: Looks
) -> Sequence[Found]:
    """Take rounds and judge all that were taken, until nothing is undecided or the looks are used up.

    Args:
        take: measures that many rounds more. judge: the verdicts on all rounds so far, by intervals of that confidence.
    """
    start = time.monotonic()
    found: Sequence[Found] = ()
    for rounds in looks.added():
        if found and time.monotonic() - start > looks.seconds:
            break
        take(rounds)
        found = judge(looks.each)
        if all(item.verdict != "undecided" for item in found):
            break
    return found
