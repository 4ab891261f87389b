"""Stages 2 to 4: projector and decoder learn to answer on top of the frozen vision tower.

``align``   projector and word embeddings classify every patch by cosine, and norms are brought together;
``subset``  the decoder answers from 64 patches a scene, which is quick and makes it find things by content;
``full``    all 256 patches, as the exported model runs.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .batches import Batch, QuestionBatches, SceneBatches
from .encoder_stage import FIRST_DIGIT, normalise_pixels
from .packed import CLASS_WORDS, packed_forward
from .scenes import GRID, PATCH_SIZE, region_at
from .segments import chosen_tokens
from .vocabulary import COLOUR_NAMES, REGIONS, WORD_ID

if TYPE_CHECKING:
    from transformers import LlavaForConditionalGeneration

TARGET_NORM = 5.0
COSINE_SCALE = 20.0
REGION_WORDS = torch.tensor([WORD_ID[name] for name in REGIONS])
COLOUR_WORDS = torch.tensor([WORD_ID[name] for name in COLOUR_NAMES])
_MIDDLES = [(index + 0.5) * PATCH_SIZE for index in range(GRID)]
PATCH_REGION = torch.tensor([REGIONS.index(region_at(x, y)) for y in _MIDDLES for x in _MIDDLES])


class DecoderStage(nn.Module):
    """The whole model with its vision tower frozen; ``kind`` is align, subset or full."""

    mean: Tensor
    deviation: Tensor

    def __init__(
        self, model: LlavaForConditionalGeneration, *, kind: str, batch_size: int, seed: int = 0, keep: int = 64
    ) -> None:
        super().__init__()
        source = SceneBatches if kind == "align" else QuestionBatches
        self.batches = source(batch_size, seed + 1 + ("align", "subset", "full").index(kind))
        self.model, self.kind = model, kind
        self.keep = keep if kind == "subset" else GRID * GRID
        vision: Any = model.config.vision_config
        self.register_buffer("mean", torch.zeros(vision.hidden_size))
        self.register_buffer("deviation", torch.ones(vision.hidden_size))
        model.model.vision_tower.requires_grad_(False)
        model.model.language_model.requires_grad_(kind != "align")
        model.get_input_embeddings().weight.requires_grad_(True)

    @torch.no_grad()
    def states(self, pixels: Tensor) -> Tensor:
        """Return the tower's last layer, (B, 257, width): [CLS], then the patches."""
        tower: nn.Module = self.model.model.vision_tower
        states: Tensor = tower(pixel_values=normalise_pixels(pixels)).last_hidden_state
        return states.float()

    def project(self, states: Tensor, patches: Tensor) -> Tensor:
        """Normalise the states of ``patches`` (B, K) per channel and project them to (B, K, text width)."""
        features = (states[:, 1:] - self.mean) / self.deviation
        features = features.gather(1, patches[..., None].expand(-1, -1, features.shape[-1]))
        visual: Tensor = self.model.model.multi_modal_projector(features)
        return visual

    @torch.no_grad()
    def measure_features(self, *, scenes: int = 256) -> None:
        """Set the per-channel mean and deviation that normalise features in training; export folds them away."""
        batch = SceneBatches(scenes, seed=49)[0]
        with torch.autocast("cpu", torch.bfloat16):
            flat = self.states(batch["pixels"])[:, 1:].flatten(0, 1)
        self.mean.copy_(flat.mean(0))
        self.deviation.copy_(flat.std(0) + 1e-3)

    def forward(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and the numbers to log."""
        states, patches = self.states(batch["pixels"]), self._patches(batch)
        visual = self.project(states, patches)
        words: Any = self.model.get_input_embeddings()
        aligned = alignment_loss(visual, words.weight, batch, patches)
        if self.kind == "align":
            return aligned, {"norm": visual.detach().float().norm(dim=-1).mean()}
        output = packed_forward(self.model, visual, batch, patches=patches, supervise=self.kind == "subset")
        answer, right = answer_loss(output.logits, batch)
        loss = answer + 0.2 * aligned + 0.3 * output.focus
        numbers = {"answer": answer, "right": right, "aligned": aligned, "focus": output.focus}
        return loss, {name: value.detach() for name, value in numbers.items()}

    def _patches(self, batch: Batch) -> Tensor:
        if self.keep < GRID * GRID:
            rng = random.Random(int(batch["pixels"][0].sum()))
            return chosen_tokens(batch["classes"], keep=self.keep, rng=rng).to(batch["pixels"].device)
        every = torch.arange(GRID * GRID, device=batch["pixels"].device)
        return every.expand(len(batch["pixels"]), -1)


def answer_loss(logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the weighted cross-entropy of the answers and the share of answer words that are right."""
    weights, targets = batch["weights"], batch["targets"]
    each = F.cross_entropy(logits.float().mT, targets, reduction="none")
    words = weights >= 1
    right = ((logits.argmax(-1) == targets) & words).sum() / words.sum()
    return (each * weights).sum() / weights.sum(), right.detach()


def alignment_loss(visual: Tensor, embeddings: Tensor, batch: Batch, patches: Tensor) -> Tensor:
    """Classify each visual token by cosine against the word embeddings: class, colour, region and centre words.

    ``visual`` (B, K, D), ``embeddings`` (V, D); tokens are also pulled to norm 5. Without this stage visual tokens
    are ten times longer than words, and questions that look things up by name stay at chance for long.
    """
    visual = visual.float()
    norms = visual.norm(dim=-1, keepdim=True)
    cosines = COSINE_SCALE * (visual / norms) @ F.normalize(embeddings.float(), dim=-1).T
    classes, colours = batch["classes"].gather(1, patches), batch["colours"].gather(1, patches)
    weight = torch.where(classes == 0, 0.1, 1.0)
    device = visual.device
    regions = PATCH_REGION.to(device)[patches]
    loss: Tensor = 0.02 * ((norms - TARGET_NORM) ** 2).mean()
    loss = loss + _among(cosines, CLASS_WORDS, classes, weight)
    loss = loss + 0.5 * _among(cosines, REGION_WORDS, regions, weight)
    loss = loss + 0.3 * _among(cosines, COLOUR_WORDS, (colours - 1).clamp(min=0), (colours > 0).float())
    # Digits have middles too, but they are no objects.
    centres = batch["centres"].gather(1, patches) * (classes < FIRST_DIGIT)
    flagged = cosines[..., WORD_ID["objects"]] - COSINE_SCALE / 4
    centre = F.binary_cross_entropy_with_logits(flagged, centres, reduction="none")
    return loss + 0.3 * (centre * weight).sum() / weight.sum()


def _among(cosines: Tensor, words: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy over the given words only, weighted mean over tokens."""
    logits = cosines[..., words.to(cosines.device)]
    each = F.cross_entropy(logits.mT, target, reduction="none")
    mean: Tensor = (each * weight).sum() / weight.sum().clamp(min=1e-6)
    return mean
