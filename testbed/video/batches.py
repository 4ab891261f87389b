"""Training batches: a pure function of (seed, step), so a resumed run sees what it would have seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import Dataset

from .. import segments
from ..batches import Batch
from ..segments import Segment
from .packed import FIRST_TEXT_POSITION
from .questions import VideoQuestion, ask, first_step
from .scenes import Clip, make_clip, make_crowded
from .vocabulary import EOS, PAD, encode

EOS_WEIGHT = 0.05


@dataclass(frozen=True)
class StepBatches(Dataset[Batch]):
    """Single steps (two frames) full of things; item ``step`` holds ``size`` of them that no other item holds.

    Keys: ``pixels`` (B, 2, 112, 112, 3) uint8; ``classes``, ``motions`` (B, 49) int64.
    """

    size: int
    seed: int = 0
    split: str = "train"

    def clips(self, step: int) -> list[Clip]:
        """Compose the clips of one item."""
        return [make_crowded(seed, split=self.split) for seed in self.seeds(step)]

    def seeds(self, step: int) -> range:
        """Return the clip seeds of one item."""
        first = (self.seed * 20_000_000 + step * self.size) % 1_000_000_000
        return range(first, first + self.size)

    def __getitem__(self, step: int) -> Batch:
        """Return batch ``step``."""
        return clip_tensors(self.clips(step))


@dataclass(frozen=True)
class QuestionBatches(StepBatches):
    """Whole clips with their labels and all their questions, packed one row a clip (see ``pack``).

    Keys of ``StepBatches``, with 16 frames and 392 tokens; ``ranks`` and ``appearances`` (B, 392) int64; of ``pack``.
    """

    longest: int = 88

    def clips(self, step: int) -> list[Clip]:
        """Compose the clips of one item."""
        return [make_clip(seed, split=self.split) for seed in self.seeds(step)]

    def __getitem__(self, step: int) -> Batch:
        """Return batch ``step``."""
        clips = self.clips(step)
        rows = [ask(clip, seed=self.seed) for clip in clips]
        return clip_tensors(clips) | time_tensors(clips) | pack(rows, longest=self.longest)


def clip_tensors(clips: list[Clip]) -> Batch:
    """Stack frames and token labels of clips of equal length."""
    return {
        "pixels": torch.from_numpy(np.stack([clip.frames for clip in clips])),
        "classes": torch.from_numpy(np.stack([clip.classes.reshape(-1) for clip in clips])),
        "motions": torch.from_numpy(np.stack([clip.motions.reshape(-1) for clip in clips])),
    }


def time_tensors(clips: list[Clip]) -> Batch:
    """Label each token with its thing's rank of coming (1 for the first) and which appearance it is; 0 elsewhere."""
    labels = [_time_labels(clip) for clip in clips]
    return {
        "ranks": torch.from_numpy(np.stack([ranks.reshape(-1) for ranks, _ in labels])),
        "appearances": torch.from_numpy(np.stack([appearances.reshape(-1) for _, appearances in labels])),
    }


def _time_labels(clip: Clip) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.int64]], ...]:
    ordered = sorted(clip.things, key=first_step)
    rank_of = np.array([0, *(1 + ordered.index(thing) for thing in clip.things)])
    appearances = np.zeros_like(clip.owners)
    for index, thing in enumerate(clip.things, start=1):
        for number, (start, end) in enumerate(thing.track.stays, start=1):
            appearances[start:end][clip.owners[start:end] == index] = number
    return rank_of[clip.owners], appearances


def pack(rows: list[tuple[VideoQuestion, ...]], *, longest: int) -> Batch:
    """Lay the questions of each clip behind one another; keys and shapes are those of ``segments.pack``."""

    def segment(question: VideoQuestion) -> Segment:
        return Segment(encode(question.text), [*encode(question.answer), EOS], EOS_WEIGHT)

    laid = [[segment(question) for question in row] for row in rows]
    return segments.pack(laid, longest=longest, first=FIRST_TEXT_POSITION, pad=PAD)
