"""One video prefix, many question segments: the decoder's forward as training runs it.

The same numbers as the model's own forward on each question alone (a test holds that), at a fraction of the work:
the video is seen once, segments see the video and themselves only, and the last layer computes text rows only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..batches import Batch
from ..packed import packed_mask, project
from .scenes import GRID
from .vocabulary import BOS, MOTIONS, THINGS, WORD_ID, WORDS

if TYPE_CHECKING:
    from transformers import Qwen2VLForConditionalGeneration

FIRST_TEXT_POSITION = 1 + GRID
SUPERVISED_LAYER = 1
SUPERVISED_HEADS = (0, 3)
TIMED_LAYER = 2

NOTHING = WORD_ID["nothing"]
CLASS_WORDS = torch.tensor([NOTHING, *(WORD_ID[name] for name in THINGS)])
MOTION_WORDS = torch.tensor([NOTHING, *(WORD_ID[name] for name in MOTIONS)])
IS_ASKED = torch.zeros(len(WORDS), dtype=torch.bool)
IS_ASKED[[WORD_ID[name] for name in (*THINGS, *MOTIONS)]] = True


@dataclass(frozen=True)
class PackedOutput:
    """``logits`` (B, T, V) of the text; ``visual`` (B, K, D), video rows after the third layer; ``focus`` loss."""

    logits: Tensor
    visual: Tensor
    focus: Tensor


def mrope_positions(tokens: Tensor, text: Tensor) -> Tensor:
    """Return time, height and width of start token, video tokens and text, (3, B, 1 + K + T).

    ``tokens`` (B, K) are indices into the video's tokens; ``text`` (B, T) are positions, 8 and up.

    >>> mrope_positions(torch.tensor([[0, 57]]), torch.tensor([[8]]))[:, 0].tolist()
    [[0, 1, 2, 8], [0, 1, 2, 8], [0, 1, 2, 8]]
    """
    step, row, column = tokens // GRID**2, tokens // GRID % GRID, tokens % GRID
    video = 1 + torch.stack([step, row, column])
    return torch.cat([torch.zeros_like(video[..., :1]), video, text.expand(3, -1, -1)], -1)


def packed_forward(
    model: Qwen2VLForConditionalGeneration, visual: Tensor, batch: Batch, *, tokens: Tensor, supervise: bool = False
) -> PackedOutput:
    """Run the decoder on ``visual`` (B, K, D), the merged features of ``tokens`` (B, K), and the packed text.

    Tokens keep their original positions, so a subset (K < 392) is what the model sees after tokens were dropped.
    With ``supervise``, heads 0 and 3 of layer 1 are also asked to attend from a thing's or motion's word to its tokens.
    """
    decoder: Any = model.model.language_model
    ids, prefix = batch["ids"], 1 + visual.shape[1]
    first = decoder.embed_tokens(torch.full_like(ids[:, :1], BOS))
    states = torch.cat((first, visual.to(first.dtype), decoder.embed_tokens(ids)), 1)
    positions = mrope_positions(tokens, batch["positions"])
    cosine, sine = (table[:, None] for table in decoder.rotary_emb(states, positions))
    allowed = packed_mask(batch["segments"], prefix)
    mask = torch.zeros(allowed.shape, dtype=torch.bfloat16, device=ids.device).masked_fill_(~allowed, -1e4)
    focus, timed, last = states.new_zeros(()), visual, len(decoder.layers) - 1
    for index, layer in enumerate(decoder.layers):
        # Nobody reads the video's rows of the last layer, so they are neither queries nor go through the MLP.
        start = prefix if index == last else 0
        query, key, value = project(layer, states, start, cosine, sine)
        if supervise and index == SUPERVISED_LAYER:
            focus = focus_loss(query, key, mask, batch, tokens)
        wide = F.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, :, start:].to(query.dtype))
        mixed = layer.self_attn.o_proj(wide.transpose(1, 2).flatten(2))
        states = states[:, start:] + mixed
        states = states + layer.mlp(layer.post_attention_layernorm(states))
        if index == TIMED_LAYER and index != last:
            timed = states[:, 1:prefix]
    return PackedOutput(model.lm_head(decoder.norm(states)), timed, focus)


def focus_loss(query: Tensor, key: Tensor, mask: Tensor, batch: Batch, tokens: Tensor) -> Tensor:
    """Return minus the log of the attention that the word of a thing or motion pays to the tokens that show it."""
    heads = [head for head in SUPERVISED_HEADS if head < query.shape[1]]
    scale, text = query.shape[-1] ** -0.5, batch["ids"].shape[1]
    scores = query[:, heads, -text:].float() @ key[:, heads].float().mT * scale
    weights = (scores + mask[:, :, -text:].float()).softmax(-1)[..., 1:-text]
    device, ids = tokens.device, batch["ids"]
    names = CLASS_WORDS.to(device)[batch["classes"].gather(1, tokens)]
    moves = MOTION_WORDS.to(device)[batch["motions"].gather(1, tokens)]
    match = (names[:, None] == ids[:, :, None]) | (moves[:, None] == ids[:, :, None])
    match &= IS_ASKED.to(device)[ids][:, :, None]
    asked = match.any(-1)
    paid: Tensor = (weights * match[:, None]).sum(-1).clamp(min=1e-4).log()
    loss: Tensor = -(paid * asked[:, None]).sum() / (len(heads) * asked.sum().clamp(min=1))
    return loss
