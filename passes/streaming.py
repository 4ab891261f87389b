"""Selection over a stream: frames arrive a few at a time, and no more than a fixed number of tokens is ever held."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..common.errors import BadInput
from ..ir.layout import Layout
from .base import Tokens
from .timechat_online import TimeChatOnline

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Held:
    """The tokens that a stream holds, in the order in which they came.

    Attributes:
        features: (K, D). frame, place: (K,) int64, which frame of the stream and which of its places each token has.
        score: (K,) float32, what they are ranked by.
    """

    features: torch.Tensor
    frame: torch.Tensor
    place: torch.Tensor
    score: torch.Tensor

    def chosen(self, index: torch.Tensor) -> Held:
        """Those at `index`."""
        return Held(self.features[index], self.frame[index], self.place[index], self.score[index])

    def followed_by(self, later: Held) -> Held:
        """These and then `later`."""
        import torch

        pairs = zip(self._parts(), later._parts(), strict=True)
        return Held(*(torch.cat(pair) for pair in pairs))

    def _parts(self) -> tuple[torch.Tensor, ...]:
        return self.features, self.frame, self.place, self.score


class StreamingSelector:
    """Differential token drop over a stream (TimeChat-Online, arXiv:2504.17343, sec. 3.2), in bounded memory.

    A token's score is how little it resembles the token at its place one frame earlier; the first frame ranks before
    all others. Held are the `capacity` highest scores of all frames so far, so that what is held after any number of
    pushes is what the pass `timechat-online` keeps of the whole stream with that count, however it was cut up. Beside
    them only the last frame is kept, for the next comparison.

    Args:
        capacity: tokens held at most.
        threshold: cosine above which a token is dropped at once, the published form (0.5 in the authors' demo); None
            drops only what does not fit.

    Raises:
        BadInput: a capacity below 1.

    Example:
        >>> import torch
        >>> selector = StreamingSelector(3)
        >>> still, moved = torch.eye(2), torch.eye(2).flip(0)
        >>> for frame in (still, still, moved):
        ...     selector.push(frame[None])
        >>> selector.held.frame.tolist(), selector.held.place.tolist()
        ([0, 0, 2], [0, 1, 0])
    """

    def __init__(self, capacity: int, *, threshold: float | None = None) -> None:
        if capacity < 1:
            raise BadInput(f"a stream holds {capacity} tokens; its capacity must be at least 1")
        self.capacity, self.threshold = capacity, threshold
        self.frames = 0
        self._held: Held | None = None
        self._last: torch.Tensor | None = None

    @property
    def held(self) -> Held:
        """What is held now.

        Raises:
            BadInput: nothing was pushed yet.
        """
        if self._held is None:
            raise BadInput("the stream holds nothing yet; push a frame first")
        return self._held

    def push(self, frames: torch.Tensor) -> None:
        """Take the next frames, (T, n, D), T at least 1.

        Raises:
            BadInput: their shape is not that of the frames before.
        """
        if frames.ndim != 3 or (self._last is not None and frames.shape[1:] != self._last.shape[1:]):
            wanted = "(T, n, D)" if self._last is None else f"(T, {self._last.shape[1]}, {self._last.shape[2]})"
            raise BadInput(f"a stream of frames got a tensor of shape {tuple(frames.shape)}; push {wanted}")
        arrived = self._scored(frames)
        self._last, self.frames = frames[-1:].clone(), self.frames + len(frames)
        everything = arrived if self._held is None else self._held.followed_by(arrived)
        self._held = everything.chosen(self._kept(everything))

    def _scored(self, frames: torch.Tensor) -> Held:
        """The new frames' tokens, scored against the frame before each."""
        import torch

        earlier = 0 if self._last is None else 1
        clip = frames if self._last is None else torch.cat([self._last, frames])
        layout = Layout(clip.shape[0] * clip.shape[1], (clip.shape[0], 1, clip.shape[1]))
        scores = TimeChatOnline().score(Tokens(clip.flatten(0, 1)[None], layout, {}))[0]
        scores = scores.view(clip.shape[:2])[earlier:].flatten()
        number = torch.arange(self.frames, self.frames + len(frames), device=frames.device)
        places = torch.arange(frames.shape[1], device=frames.device)
        return Held(
            frames.flatten(0, 1),
            number.repeat_interleave(frames.shape[1]),
            places.repeat(len(frames)),
            scores,
        )

    def _kept(self, everything: Held) -> torch.Tensor:
        """Sorted indices of the highest scores, those alone that pass the threshold."""
        ranked = everything.score.argsort(descending=True, stable=True)[: self.capacity]
        if self.threshold is not None:
            ranked = ranked[everything.score[ranked] >= -self.threshold]
        return ranked.sort().values
