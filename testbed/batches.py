"""Training batches: a pure function of (seed, step), so a resumed run sees what it would have seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from . import segments
from .model import VISUAL_TOKENS
from .questions import Question, ask
from .scenes import Scene, make_scene
from .segments import Segment
from .vocabulary import DIGITS, EOS, OBJECTS, PAD, encode

Batch = dict[str, Tensor]
PRESENCE = (*OBJECTS, *DIGITS)
FIRST_TEXT_POSITION = 1 + VISUAL_TOKENS
EOS_WEIGHT = {"number": 0.5}


@dataclass(frozen=True)
class SceneBatches(Dataset[Batch]):
    """Scenes with their dense labels; item ``step`` holds ``size`` scenes that no other step holds.

    Keys: ``pixels`` (B, 224, 224, 3) uint8; ``classes``, ``colours`` (B, 256) int64; ``centres`` (B, 256) and
    ``presence`` (B, 74) float32.
    """

    size: int
    seed: int = 0
    split: str = "train"
    crowded: float = 0.0

    def scenes(self, step: int) -> list[Scene]:
        """Compose the scenes of one step; the first ``crowded`` share of them is crowded."""
        first, crowd = (self.seed * 20_000_000 + step * self.size) % 1_000_000_000, self.crowded * self.size
        return [make_scene(first + i, split=self.split, crowded=i < crowd) for i in range(self.size)]

    def __getitem__(self, step: int) -> Batch:
        """Return batch ``step``."""
        return scene_tensors(self.scenes(step))


@dataclass(frozen=True)
class QuestionBatches(SceneBatches):
    """Scenes with their labels and all their questions, packed one row a scene (see ``pack``)."""

    longest: int = 112

    def __getitem__(self, step: int) -> Batch:
        """Return batch ``step``."""
        scenes = self.scenes(step)
        rows = [ask(scene, seed=self.seed) for scene in scenes]
        return scene_tensors(scenes) | pack(rows, longest=self.longest)


def scene_tensors(scenes: list[Scene]) -> Batch:
    """Stack pictures and labels of scenes."""

    def flat(name: str) -> Tensor:
        return torch.from_numpy(np.stack([getattr(scene, name).reshape(-1) for scene in scenes]))

    return {
        "pixels": torch.from_numpy(np.stack([np.asarray(scene.image) for scene in scenes])),
        "classes": flat("patch_labels").long(),
        "colours": flat("patch_colours").long(),
        "centres": flat("centres").float(),
        "presence": torch.stack([_presence(scene) for scene in scenes]),
    }


def _presence(scene: Scene) -> Tensor:
    shown = {item.name for item in scene.objects} | {digit for sign in scene.signs for digit in sign.number}
    return torch.tensor([float(word in shown) for word in PRESENCE])


def pack(rows: list[tuple[Question, ...]], *, longest: int) -> Batch:
    """Lay the questions of each scene behind one another; keys and shapes are those of ``segments.pack``."""

    def segment(question: Question) -> Segment:
        end_weight = EOS_WEIGHT.get(question.kind, 0.05)
        return Segment(encode(question.text), [*encode(question.answer), EOS], end_weight)

    laid = [[segment(question) for question in row] for row in rows]
    return segments.pack(laid, longest=longest, first=FIRST_TEXT_POSITION, pad=PAD)
