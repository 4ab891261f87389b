"""Stage 1: the vision tower learns from dense patch labels, with a multi-label objective at [CLS]."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor, nn

from .batches import PRESENCE, Batch, SceneBatches
from .vocabulary import COLOUR_NAMES, PATCH_CLASS_ID, PATCH_CLASSES

if TYPE_CHECKING:
    from transformers import CLIPVisionModel

CROWDED = 2 / 3
FIRST_DIGIT = PATCH_CLASS_ID["0"]


def normalise_pixels(pixels: Tensor) -> Tensor:
    """Turn (B, 224, 224, 3) uint8 into (B, 3, 224, 224) float32 in [-1, 1], as the processor does."""
    return pixels.permute(0, 3, 1, 2).float() / 127.5 - 1


class SceneHeads(nn.Module):
    """What the tower's last layer is asked in training; none of it is exported.

    Each patch says its class, its colour and whether it is the middle of something; [CLS] says which words the scene
    holds, so that the attention of [CLS] in the last layer means something.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.classes = nn.Linear(width, len(PATCH_CLASSES))
        self.colours = nn.Linear(width, 1 + len(COLOUR_NAMES))
        self.centres = nn.Linear(width, 1)
        self.presence = nn.Linear(width, len(PRESENCE))

    def forward(self, states: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of the last layer's ``states`` (B, 257, width) and accuracies to log."""
        states = F.layer_norm(states, states.shape[-1:])
        patches, classes = states[:, 1:], batch["classes"]
        logits, colours = self.classes(patches).float(), self.colours(patches).float()
        centres, presence = self.centres(patches).squeeze(-1).float(), self.presence(states[:, 0]).float()
        thing, digit = classes > 0, classes >= FIRST_DIGIT
        weight = 0.1 + 0.9 * thing + digit
        shown = F.binary_cross_entropy_with_logits(presence, batch["presence"])
        loss = _mean(F.cross_entropy(logits.mT, classes, reduction="none"), weight) + 8 * shown
        loss = loss + 0.3 * _mean(F.cross_entropy(colours.mT, batch["colours"], reduction="none"), weight)
        middle = F.binary_cross_entropy_with_logits(centres, batch["centres"], reduction="none")
        loss = loss + 0.3 * _mean(middle, weight)
        right = (logits.argmax(-1) == classes).float()
        return loss, {
            "object": _mean(right, (thing & ~digit & (classes > 1)).float()),
            "digit": _mean(right, digit.float()),
            "background": _mean(right, (~thing).float()),
            "cls": shown.detach(),
        }


class EncoderStage(nn.Module):
    """The tower under its training heads."""

    def __init__(self, tower: CLIPVisionModel, *, batch_size: int = 24, seed: int = 0) -> None:
        super().__init__()
        self.batches = SceneBatches(batch_size, seed, crowded=CROWDED)
        self.tower = tower
        self.heads = SceneHeads(tower.config.hidden_size)

    def forward(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and the accuracies to log; ``progress`` is not used here."""
        states = self.tower(pixel_values=normalise_pixels(batch["pixels"])).last_hidden_state
        result: tuple[Tensor, dict[str, Tensor]] = self.heads(states, batch)
        return result


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum() / weight.sum().clamp(min=1e-6)
