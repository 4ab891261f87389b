"""Training batches: a pure function of (seed, step), so a resumed run sees what it would have seen."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from .model import VISUAL_TOKENS
from .questions import Question, ask
from .scenes import Scene, make_scene
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

    def scenes(self, step: int) -> list[Scene]:
        """Compose the scenes of one step."""
        first = (self.seed * 20_000_000 + step * self.size) % 1_000_000_000
        return [make_scene(first + index, split=self.split) for index in range(self.size)]

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
    shown = {item.name for item in scene.objects} | set(scene.sign.number if scene.sign else "")
    return torch.tensor([float(word in shown) for word in PRESENCE])


def pack(rows: list[tuple[Question, ...]], *, longest: int) -> Batch:
    """Lay the question-answer segments of each row behind one another, right-padded, at most ``longest`` tokens.

    Keys, all (B, T): ``ids``; ``segments`` (0 is padding); ``positions`` (every segment restarts after the image);
    ``targets`` (the next token) and ``weights`` (0 where nothing is learnt).
    """
    packed = [_pack_row(row, longest) for row in rows]
    width = max(len(row["ids"]) for row in packed)
    blank = {"ids": PAD, "segments": 0, "positions": FIRST_TEXT_POSITION, "targets": PAD, "weights": 0.0}
    return {
        key: torch.tensor([row[key] + [value] * (width - len(row[key])) for row in packed])
        for key, value in blank.items()
    }


def _pack_row(questions: tuple[Question, ...], longest: int) -> dict[str, list[float]]:
    row: dict[str, list[float]] = {key: [] for key in ("ids", "segments", "positions", "targets", "weights")}
    for segment, question in enumerate(questions, start=1):
        prompt, answer = encode(question.text), [*encode(question.answer), EOS]
        length = len(prompt) + len(answer) - 1
        if len(row["ids"]) + length > longest:
            break
        row["ids"] += [*prompt, *answer[:-1]]
        row["segments"] += [segment] * length
        row["positions"] += range(FIRST_TEXT_POSITION, FIRST_TEXT_POSITION + length)
        row["targets"] += [PAD] * (len(prompt) - 1) + answer
        row["weights"] += [0.0] * (len(prompt) - 1) + [1.0] * (len(answer) - 1) + [EOS_WEIGHT.get(question.kind, 0.05)]
    return row


def subset_positions(batch: Batch, *, keep: int, rng: random.Random) -> Tensor:
    """Choose ``keep`` patches a scene, labelled ones first, the rest at random: (B, keep) int64, ascending."""
    generator = torch.Generator().manual_seed(rng.getrandbits(32))
    order = (batch["classes"] > 0).float() + torch.rand(batch["classes"].shape, generator=generator) * 0.999
    return order.topk(keep, dim=1).indices.sort(dim=1).values
