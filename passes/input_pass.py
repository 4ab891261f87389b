"""The contract of a pass that acts before the encoder: it changes the pixels, frames or spectra that it sees."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from ..ir.layout import Layout, kept_count
from .base import Compression, Pass, Tokens
from .primitives.frames import by_frame, frame_shape

if TYPE_CHECKING:
    import torch

Change = Literal["size", "frames", "sound"]


class InputPass(Pass):
    """A pass whose site is `MODALITY.input`.

    Its tokens are those of the uncompressed model, and the `features` (B, N, P) of a token are the input values behind
    it: the pixels of its patch, or the spectrum of its stretch of sound. What it keeps runs through the encoder alone,
    and the features of what remains stand at their representatives' places with those tokens' positions.

    Class attribute `change` says what of the input it changes: the `size` of pictures and frames, where the index
    holds the representatives of the new grid's cells and the runtime resizes the pixels; the `frames` of a clip; or
    the stretches of a `sound`.
    """

    sites = ("input",)
    change: ClassVar[Change]


class FramePass(InputPass):
    """Keeps whole frames of a clip; a method is one `frames` function.

    A frame is what the encoder takes at one point of time: two pictures in the Qwen families, one elsewhere. `keep`
    is the fraction of frames, K = max(1, floor(keep * T + 0.5)). A layout without a grid is one frame and stays whole.
    """

    modalities = ("video",)
    consumes = ("temporal",)
    mechanism = "transformation"
    change = "frames"

    @abstractmethod
    def frames(self, clip: torch.Tensor, count: int) -> torch.Tensor:
        """The frames that are kept: (B, count) int64, sorted and unique, of `clip` (B, T, n, P), with count < T."""

    def count(self, layout: Layout, keep: float) -> Layout:
        """The grid with fewer frames."""
        frames, places = frame_shape(layout)
        kept = kept_count(frames, keep)
        if layout.grid is None or kept == frames:
            return layout
        return replace(layout, count=kept * places, grid=(kept, *layout.grid[1:]))

    def compress(self, tokens: Tokens, target: Layout) -> Compression:
        """Every token of the frames that are kept."""
        import torch

        clip, places = by_frame(tokens.features, tokens.layout), frame_shape(tokens.layout)[1]
        kept = target.count // max(1, places)
        device = tokens.features.device
        if kept == clip.shape[1]:
            frames = torch.arange(kept, device=device).expand(len(clip), -1)
        else:
            frames = self.frames(clip, kept)
        index = frames[..., None] * places + torch.arange(places, device=device)
        return Compression(index.flatten(1))
