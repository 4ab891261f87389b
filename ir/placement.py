"""A pass placed at a site: one line of a plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..common.errors import BadInput


@dataclass(frozen=True)
class Placement:
    """One compression method at one site.

    Attributes:
        method: name of the pass (`pass` in files). site: text form of the site. keep: fraction kept of what arrives.
        params: the pass's own dataclass fields that differ from its defaults.
        modality: at decoder sites, the modalities it acts on; None is all that the workload has.
        group: placements of one schedule share a group name.
        tokens_in, tokens_out: counts per image, clip or sound, written when the plan is made.
        note: why a parameter is what it is, written when the plan is made.
    """

    method: str
    site: str
    keep: float
    params: Mapping[str, Any] = field(default_factory=dict)
    modality: tuple[str, ...] | None = None
    group: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    note: str | None = None

    def modalities(self, available: Iterable[str]) -> tuple[str, ...]:
        """The modalities it acts on, among those that the model's flow has.

        Raises:
            BadInput: it names a modality that is not there.
        """
        present = tuple(available)
        head = self.site.split(".", 1)[0]
        wanted = (head,) if head != "decoder" else self.modality or present
        for modality in wanted:
            if modality not in present:
                found = ", ".join(present) or "none"
                raise BadInput(f"{self.method} at {self.site} acts on {modality}, which is not there (found: {found})")
        return wanted

    def label(self) -> str:
        """`fastv@decoder.layers.2 keep 0.25`, for tables and messages."""
        return f"{self.method}@{self.site} keep {self.keep:g}"
