"""One image prefix, many question segments: the decoder's forward as training runs it.

The same numbers as the model's own forward on each question alone (a test holds that), at a fraction of the work:
the image is seen once, segments see the image and themselves only, and the last layer computes text rows only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .batches import Batch
from .vocabulary import BOS, OBJECTS, PATCH_CLASSES, WORD_ID, WORDS

if TYPE_CHECKING:
    from transformers import LlavaForConditionalGeneration

SUPERVISED_LAYER = 1
SUPERVISED_HEADS = (0, 3)
CLASS_WORDS = torch.tensor([WORD_ID[name] for name in PATCH_CLASSES])
IS_OBJECT = torch.zeros(len(WORDS), dtype=torch.bool)
IS_OBJECT[[WORD_ID[name] for name in OBJECTS]] = True


@dataclass(frozen=True)
class PackedOutput:
    """``logits`` (B, T, V) of the text rows; ``focus`` the attention loss, 0 where it was not asked for."""

    logits: Tensor
    focus: Tensor


def packed_mask(segments: Tensor, prefix: int) -> Tensor:
    """Return the (B, 1, N, N) boolean mask: causal over the prefix, block-diagonal causal over the segments.

    >>> packed_mask(torch.tensor([[1, 2]]), 1)[0, 0].int().tolist()
    [[1, 0, 0], [1, 1, 0], [1, 0, 1]]
    """
    batch, text = segments.shape
    mask = torch.ones(prefix + text, prefix + text, dtype=torch.bool, device=segments.device).tril()
    mask = mask.repeat(batch, 1, 1)
    mask[:, prefix:, prefix:] &= segments[:, :, None] == segments[:, None, :]
    return mask[:, None]


def rotate(states: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Apply rotary embeddings in the half-split layout."""
    first, second = states.chunk(2, -1)
    return states * cosine + torch.cat((-second, first), -1) * sine


def packed_forward(
    model: LlavaForConditionalGeneration, visual: Tensor, batch: Batch, *, patches: Tensor, supervise: bool = False
) -> PackedOutput:
    """Run the decoder on ``visual`` (B, K, D), the projected tokens of ``patches`` (B, K), and the packed text.

    Patches keep their original positions, so a subset (K < 256) is what the model sees after tokens were dropped.
    With ``supervise``, heads 0 and 3 of layer 1 are also asked to attend from an object's word to its patches.
    """
    decoder: Any = model.model.language_model
    ids, prefix = batch["ids"], 1 + visual.shape[1]
    first = decoder.embed_tokens(torch.full_like(ids[:, :1], BOS))
    states = torch.cat((first, visual.to(first.dtype), decoder.embed_tokens(ids)), 1)
    positions = torch.cat((torch.zeros_like(patches[:, :1]), 1 + patches, batch["positions"]), 1)
    cosine, sine = (table[:, None] for table in decoder.rotary_emb(states, positions))
    allowed = packed_mask(batch["segments"], prefix)
    mask = torch.zeros(allowed.shape, dtype=torch.bfloat16, device=ids.device).masked_fill_(~allowed, -1e4)
    focus, last = states.new_zeros(()), len(decoder.layers) - 1
    for index, layer in enumerate(decoder.layers):
        # Nobody reads the visual rows of the last layer, so they are neither queries nor go through the MLP.
        start = prefix if index == last else 0
        query, key, value = project(layer, states, start, cosine, sine)
        if supervise and index == SUPERVISED_LAYER:
            focus = focus_loss(query, key, mask, batch, patches)
        wide = F.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, :, start:].to(query.dtype))
        mixed = layer.self_attn.o_proj(wide.transpose(1, 2).flatten(2))
        states = states[:, start:] + mixed
        states = states + layer.mlp(layer.post_attention_layernorm(states))
    return PackedOutput(model.lm_head(decoder.norm(states)), focus)


def project(layer: Any, states: Tensor, start: int, cosine: Tensor, sine: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return a layer's queries from row ``start`` on, keys and values, (B, heads, rows, width), rotated and normed."""
    attention, normed = layer.self_attn, layer.input_layernorm(states)

    def heads(flat: Tensor) -> Tensor:
        return flat.view(*flat.shape[:2], -1, attention.head_dim).transpose(1, 2)

    query, key = heads(attention.q_proj(normed[:, start:])), heads(attention.k_proj(normed))
    if hasattr(attention, "q_norm"):
        query, key = attention.q_norm(query), attention.k_norm(key)
    value = heads(attention.v_proj(normed))
    cosine, sine = cosine.to(value.dtype), sine.to(value.dtype)
    query = rotate(query.to(value.dtype), cosine[:, :, start:], sine[:, :, start:])
    return query, rotate(key.to(value.dtype), cosine, sine), value


def focus_loss(query: Tensor, key: Tensor, mask: Tensor, batch: Batch, patches: Tensor) -> Tensor:
    """Return minus the log of the attention that an object's word pays to the patches of that object."""
    heads, scale, text = list(SUPERVISED_HEADS), query.shape[-1] ** -0.5, batch["ids"].shape[1]
    scores = query[:, heads, -text:].float() @ key[:, heads].float().mT * scale
    weights = (scores + mask[:, :, -text:].float()).softmax(-1)[..., 1:-text]
    words = CLASS_WORDS.to(patches.device)[batch["classes"].gather(1, patches)]
    ids = batch["ids"]
    match = (words[:, None, :] == ids[:, :, None]) & IS_OBJECT.to(ids.device)[ids][:, :, None]
    asked = match.any(-1)
    paid: Tensor = (weights * match[:, None]).sum(-1).clamp(min=1e-4).log()
    loss: Tensor = -(paid * asked[:, None]).sum() / (len(heads) * asked.sum().clamp(min=1))
    return loss
