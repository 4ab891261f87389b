"""The four stages of training.

``encoder``  the tower and its merger learn what fills each token and how it moves, on crowded single steps;
``align``    merger and word embeddings classify every token by cosine, and norms are brought together;
``subset``   the decoder answers from 72 tokens a clip, which is quick and makes it find things by content;
``full``     all 392 tokens, as the exported model runs.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..batches import Batch
from ..decoder_stage import answer_loss
from ..segments import chosen_tokens
from .batches import QuestionBatches, StepBatches
from .model import VISUAL_TOKENS
from .packed import CLASS_WORDS, MOTION_WORDS, PackedOutput, packed_forward
from .patches import encode_steps
from .scenes import GRID
from .tracks import FRAMES_PER_STEP, STEPS
from .vocabulary import MOTIONS, TOKEN_CLASSES

if TYPE_CHECKING:
    from transformers import Qwen2VLForConditionalGeneration

KINDS = ("align", "subset", "full")
MOST_THINGS = 3
TARGET_NORM = 5.0
COSINE_SCALE = 20.0
BACKGROUND_WEIGHT = 0.1


class EncoderStage(nn.Module):
    """The vision transformer with its merger, under two linear heads that are not exported."""

    def __init__(self, model: Qwen2VLForConditionalGeneration, *, batch_size: int, seed: int = 0) -> None:
        super().__init__()
        self.batches = StepBatches(batch_size, seed)
        self.tower: Any = model.model.visual
        words: Any = model.get_input_embeddings()
        width: int = words.embedding_dim
        self.classes, self.motions = nn.Linear(width, len(TOKEN_CLASSES)), nn.Linear(width, 1 + len(MOTIONS))

    def forward(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and accuracies on tokens that show something; ``progress`` is not used here."""
        states = self.tower.merger.mlp(encode_steps(self.tower, batch["pixels"]))
        states = F.layer_norm(states, states.shape[-1:])
        names, moves = self.classes(states).float(), self.motions(states).float()
        shown = (batch["classes"] > 0).float()
        weight = BACKGROUND_WEIGHT + (1 - BACKGROUND_WEIGHT) * shown
        loss = _mean(F.cross_entropy(names.mT, batch["classes"], reduction="none"), weight)
        loss = loss + 0.7 * _mean(F.cross_entropy(moves.mT, batch["motions"], reduction="none"), weight)
        right = (names.argmax(-1) == batch["classes"]).float()
        return loss, {
            "things": _mean(right, shown),
            "background": _mean(right, 1 - shown),
            "motions": _mean((moves.argmax(-1) == batch["motions"]).float(), shown),
        }


class DecoderStage(nn.Module):
    """The whole model with its vision blocks frozen; ``kind`` is align, subset or full."""

    def __init__(
        self, model: Qwen2VLForConditionalGeneration, *, kind: str, batch_size: int, seed: int = 0, keep: int = 72
    ) -> None:
        super().__init__()
        source = StepBatches if kind == "align" else QuestionBatches
        self.batches = source(batch_size, seed + 1 + KINDS.index(kind))
        self.model, self.kind = model, kind
        self.keep = keep if kind == "subset" else VISUAL_TOKENS
        words: Any = model.get_input_embeddings()
        self.times = TimeHeads(words.embedding_dim)
        tower: Any = model.model.visual
        tower.requires_grad_(False)
        tower.merger.mlp.requires_grad_(True)
        model.model.language_model.requires_grad_(kind != "align")
        words.weight.requires_grad_(True)

    def project(self, pixels: Tensor, tokens: Tensor) -> Tensor:
        """Return the merged features of ``tokens`` (B, K), (B, K, text width), from (B, T, H, W, 3) uint8."""
        tower: Any = self.model.model.visual
        with torch.no_grad():
            steps = pixels.view(-1, FRAMES_PER_STEP, *pixels.shape[2:])
            states = encode_steps(tower, steps).float().view(len(pixels), -1, tower.merger.hidden_size)
        visual: Tensor = tower.merger.mlp(states.gather(1, tokens[..., None].expand(-1, -1, states.shape[-1])))
        return visual

    def forward(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and the numbers to log; ``progress`` is not used here."""
        tokens = self._tokens(batch)
        visual = self.project(batch["pixels"], tokens)
        words: Any = self.model.get_input_embeddings()
        aligned = alignment_loss(visual, words.weight, batch, tokens)
        if self.kind == "align":
            return aligned, {"norm": visual.detach().float().norm(dim=-1).mean()}
        output = packed_forward(self.model, visual, batch, tokens=tokens, supervise=True)
        answer, right = answer_loss(output.logits, batch)
        timed = self.times(output, batch, tokens)
        loss = answer + 0.2 * aligned + 0.3 * output.focus + 0.2 * timed
        numbers = {"answer": answer, "right": right, "aligned": aligned, "focus": output.focus, "timed": timed}
        return loss, {name: value.detach() for name, value in numbers.items()}

    def _tokens(self, batch: Batch) -> Tensor:
        count, device = batch["classes"].shape[1], batch["pixels"].device
        if self.keep < count:
            rng = random.Random(int(batch["pixels"][0].sum()))
            return chosen_tokens(batch["classes"], keep=self.keep, rng=rng).to(device)
        return torch.arange(count, device=device).expand(len(batch["pixels"]), -1)


class TimeHeads(nn.Module):
    """Asks the video's rows after the third layer for their step, the rank of their thing's coming, and which
    appearance of it they show; not exported. Without them order and counting are found late."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.steps, self.ranks = nn.Linear(width, STEPS), nn.Linear(width, MOST_THINGS)
        self.appearances = nn.Linear(width, MOST_THINGS)

    def forward(self, output: PackedOutput, batch: Batch, tokens: Tensor) -> Tensor:
        """Return the mean cross-entropy over tokens that show a thing."""
        states = F.layer_norm(output.visual.float(), output.visual.shape[-1:])
        shown = (batch["classes"].gather(1, tokens) > 0).float()
        loss = states.new_zeros(())
        for head, target in (
            (self.steps, tokens // GRID**2),
            (self.ranks, (batch["ranks"].gather(1, tokens) - 1).clamp(min=0)),
            (self.appearances, (batch["appearances"].gather(1, tokens) - 1).clamp(min=0)),
        ):
            loss = loss + _mean(F.cross_entropy(head(states).float().mT, target, reduction="none"), shown)
        return loss


def alignment_loss(visual: Tensor, embeddings: Tensor, batch: Batch, tokens: Tensor) -> Tensor:
    """Classify each visual token by cosine against the embeddings of the words for its thing and its motion.

    ``visual`` (B, K, D), ``embeddings`` (V, D); tokens are also pulled to norm 5, which is near that of words.
    """
    visual = visual.float()
    norms = visual.norm(dim=-1, keepdim=True)
    cosines = COSINE_SCALE * (visual / norms) @ F.normalize(embeddings.float(), dim=-1).T
    classes, motions = batch["classes"].gather(1, tokens), batch["motions"].gather(1, tokens)
    weight = torch.where(classes == 0, BACKGROUND_WEIGHT, 1.0)
    loss: Tensor = 0.02 * ((norms - TARGET_NORM) ** 2).mean()
    for words, target in ((CLASS_WORDS, classes), (MOTION_WORDS, motions)):
        each = F.cross_entropy(cosines[..., words.to(cosines.device)].mT, target, reduction="none")
        loss = loss + _mean(each, weight)
    return loss


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum() / weight.sum().clamp(min=1e-6)
