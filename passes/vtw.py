"""VTW: from some layer on the decoder goes on without any media token."""

from __future__ import annotations

from dataclasses import dataclass

from ..common.errors import BadInput
from ..ir.layout import Layout
from ..ir.op import Op
from ..ir.polynomial import ROWS
from .base import Compression, Pass, Tokens, register


@register
@dataclass(frozen=True)
class VTW(Pass):
    """Visual token withdrawal: all media tokens leave at one layer (arXiv:2405.05803).

    The layer is the site: the paper takes the first one at which the next-token distribution stays within a small KL
    divergence of the full model's (15 of 32 for LLaVA-1.5-7B). `keep` must be 0, or 1 to do nothing.
    """

    name = "vtw"
    source = "arXiv:2405.05803"
    summary = "withdraw all media tokens"
    mechanism = "attention"
    sites = ("decoder.layer",)
    consumes = ("attention",)
    catalog_id = "vtw"
    withdraws = True

    def count(self, layout: Layout, keep: float) -> Layout:
        """None, or all where keep is 1.

        Raises:
            BadInput: another keep.
        """
        if keep not in (0.0, 1.0):
            raise BadInput(f"vtw withdraws all tokens, and its keep is {keep}; set it to 0")
        return layout.kept(keep)

    def ops(self, layout: Layout, width: int) -> tuple[Op, ...]:
        """Nothing but the empty selection."""
        return (Op("withdraw", "selection", elements=ROWS),)

    def compress(self, tokens: Tokens, target: Layout) -> Compression:
        """The first K tokens, K being 0 or all."""
        import torch

        rows, device = tokens.features.shape[0], tokens.features.device
        return Compression(torch.arange(target.count, device=device).expand(rows, -1))
