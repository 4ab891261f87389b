"""Methods whose published form is a threshold: with `adaptive` content decides how many tokens remain."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace

from ..common.errors import BadInput
from ..ir.layout import Layout
from .base import Compression, Pass, Tokens


@dataclass(frozen=True)
class AdaptivePass(Pass):
    """A method that is published with a threshold on what it ranks by.

    Its `compress` is the exact-count form: the threshold is the one that leaves K. With `adaptive` the published
    threshold decides for each medium alone, and media of one batch keep different numbers. Nothing can be counted
    before then, so `keep` is 1 and plans count every token as staying: costs and budgets are upper bounds.
    """

    adaptive: bool = False

    @property
    def is_adaptive(self) -> bool:
        """The parameter `adaptive`."""
        return self.adaptive

    def count(self, layout: Layout, keep: float) -> Layout:
        """K tokens; with `adaptive` the most that can remain, on no grid.

        Raises:
            BadInput: a keep other than 1 with `adaptive`.
        """
        if not self.adaptive:
            return layout.kept(keep)
        if keep != 1.0:
            raise BadInput(
                f"{self.name} has adaptive: true, so that content decides how many tokens stay, and keep {keep:g}; "
                "set keep to 1, the most that can stay, or leave adaptive out"
            )
        return replace(layout, grid=None)

    @abstractmethod
    def published(self, tokens: Tokens) -> Compression:
        """What the published threshold leaves of one medium, at least one token.

        Args:
            tokens: of one medium, (1, N, D).

        Returns:
            A compression whose K follows from content, which costs one host synchronisation.
        """
