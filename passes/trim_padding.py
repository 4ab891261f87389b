"""Trimming of sounds: the quietest stretches, padding before all others, are not encoded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..ir.layout import Layout
from ..ir.op import Op
from .base import Compression, Tokens, register
from .input_pass import InputPass
from .primitives.costs import row_ops
from .primitives.entries import best_and_last
from .score import ScorePass

if TYPE_CHECKING:
    import torch


@register
@dataclass(frozen=True)
class TrimPadding(InputPass, ScorePass):
    """Keep the loudest stretches of a sound: what is padding or silence goes before it is encoded.

    A stretch is what becomes one token of the decoder (of the encoder's output in Whisper); its loudness is the mean of
    its log-mel spectrum, which is lowest where the processor padded. The exact-count form of a silence threshold: the
    threshold is the one that leaves K stretches. What is kept keeps its position in the window.

    The last `end` share of the stretches stays, however quiet (0.4 s of a window of 30 s), though at most a quarter of
    K: from the end of the window Whisper's decoder learns that the speech is over, and without it the last words are
    repeated.
    """

    name = "trim-padding"
    source = "baseline"
    summary = "leave out the quietest stretches of a sound"
    mechanism = "transformation"
    modalities = ("audio",)
    consumes = ("feature", "temporal")
    change = "sound"

    end: float = 0.0134

    def score_ops(self, layout: Layout, width: int) -> tuple[Op, ...]:
        """A mean over the spectrum of each stretch."""
        return (row_ops("loudness", width, launches=2),)

    def score(self, tokens: Tokens) -> torch.Tensor:
        """The mean of the log spectrum behind each token, (B, N)."""
        return tokens.features.float().mean(dim=-1)

    def compress(self, tokens: Tokens, target: Layout) -> Compression:
        """The end of the window, and the loudest stretches before it."""
        last = min(math.floor(self.end * tokens.layout.count + 0.5), target.count // 4)
        return Compression(best_and_last(self.score(tokens)[:, None], target.count, last=last)[:, 0])
