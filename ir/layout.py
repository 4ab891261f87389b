"""How the tokens of one image, clip or sound are arranged."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from ..common.errors import BadInput


@dataclass(frozen=True)
class Layout:
    """The arrangement of the compressible tokens of one medium.

    Attributes:
        count: compressible tokens, without prefix and separators.
        grid: (time, height, width) where the tokens fill a grid in row-major order, else None (a plain sequence).
        prefix: tokens before them that always stay, such as [CLS].
        separators: newline and separator tokens among them that always stay.

    Example:
        >>> layout = Layout.image(24, 24, prefix=1)
        >>> layout.count, layout.total
        (576, 577)
        >>> layout.kept(0.25).count
        144
    """

    count: int
    grid: tuple[int, int, int] | None = None
    prefix: int = 0
    separators: int = 0

    def __post_init__(self) -> None:
        if self.count < 0:
            raise BadInput(f"a layout has {self.count} tokens; the count must not be negative")
        if self.grid is not None and math.prod(self.grid) != self.count:
            raise BadInput(f"grid {self.grid} has {math.prod(self.grid)} cells but the layout has {self.count} tokens")

    @classmethod
    def image(cls, height: int, width: int, *, prefix: int = 0) -> Layout:
        """A grid of height x width patches."""
        return cls(height * width, (1, height, width), prefix)

    @property
    def total(self) -> int:
        """All tokens, those that always stay included."""
        return self.prefix + self.count + self.separators

    def kept(self, keep: float) -> Layout:
        """The layout after an irregular selection of `keep` of the tokens: same prefix, no grid."""
        return self.without_grid(kept_count(self.count, keep))

    def without_grid(self, count: int) -> Layout:
        """The layout after an irregular selection of `count` tokens; the same where all of them stay."""
        return self if count == self.count else replace(self, count=count, grid=None)

    def without_prefix(self) -> Layout:
        """The same tokens after the model itself removed the prefix."""
        return replace(self, prefix=0)


def kept_count(count: int, keep: float) -> int:
    """K = max(1, floor(keep * N + 0.5)), the count that every selecting pass keeps; 0 of 0, and 0 where keep is 0.

    Raises:
        BadInput: keep is outside [0, 1].
    """
    if not 0.0 <= keep <= 1.0:
        raise BadInput(f"keep is {keep}; it is the fraction of tokens kept and must lie between 0 and 1")
    if count == 0 or keep == 0.0:
        return 0
    return max(1, math.floor(keep * count + 0.5))
