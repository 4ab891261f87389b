"""Frames to the flat patches that Qwen2-VL's vision transformer takes, and the transformer batched over steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..packed import rotate
from .scenes import MERGE, PATCH_SIZE
from .tracks import FRAMES_PER_STEP

if TYPE_CHECKING:
    from transformers.models.qwen2_vl.modeling_qwen2_vl import Qwen2VisionTransformerPretrainedModel


def to_patches(frames: Tensor) -> Tensor:
    """Cut (T, H, W, 3) uint8 into (T / 2 * H / 8 * W / 8, 384) float32 in [-1, 1].

    Rows run over steps, then over blocks of 2 x 2 patches, then within the block; columns over channel, frame of the
    pair, row and column of the patch, as in ``Qwen2VLVideoProcessor``.
    """
    count, height, width, _ = frames.shape
    block = MERGE * PATCH_SIZE
    cut = (frames.float() / 127.5 - 1).view(
        count // FRAMES_PER_STEP,
        FRAMES_PER_STEP,
        height // block,
        MERGE,
        PATCH_SIZE,
        width // block,
        MERGE,
        PATCH_SIZE,
        3,
    )
    return cut.permute(0, 2, 5, 3, 6, 8, 1, 4, 7).reshape(-1, 3 * FRAMES_PER_STEP * PATCH_SIZE**2)


def encode_steps(tower: Qwen2VisionTransformerPretrainedModel, frames: Tensor) -> Tensor:
    """Run the tower up to its merger on (N, 2, H, W, 3) uint8, one row a step: (N, tokens, 4 * width).

    The same numbers as the tower's own forward, whose loop over steps is slow on a batch. What comes back are the
    four layer-normed patches of each visual token side by side, which the merger's MLP takes.
    """
    from transformers.vision_utils import get_vision_position_ids

    live: Any = tower
    steps, height, width = len(frames), frames.shape[2] // PATCH_SIZE, frames.shape[3] // PATCH_SIZE
    # A convolution whose kernel is the whole patch is a linear layer, which is quicker on many small inputs.
    states = F.linear(to_patches(frames.flatten(0, 1)), live.patch_embed.proj.weight.flatten(1))
    states = states.view(steps, height * width, -1)
    grid = torch.tensor([[1, height, width]], device=frames.device)
    cosine, sine = live.rotary_pos_emb(states, get_vision_position_ids(grid, MERGE))
    for block in live.blocks:
        states = states + _attend(block.attn, block.norm1(states), cosine, sine)
        states = states + block.mlp(block.norm2(states))
    normed: Tensor = live.merger.ln_q(states)
    return normed.view(steps, -1, live.merger.hidden_size)


def _attend(attention: Any, states: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    flat = attention.qkv(states).view(*states.shape[:2], 3, attention.num_heads, -1)
    query, key, value = flat.permute(2, 0, 3, 1, 4)
    cosine, sine = cosine.to(value.dtype), sine.to(value.dtype)
    mixed = F.scaled_dot_product_attention(rotate(query, cosine, sine), rotate(key, cosine, sine), value)
    projected: Tensor = attention.proj(mixed.transpose(1, 2).flatten(2))
    return projected
