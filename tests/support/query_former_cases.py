"""BLIP-2 and InstructBLIP in the matrix: query tokens in place of each picture, an OPT or a Llama decoder."""

from __future__ import annotations

from typing import Any

import torch
import transformers as t
from live_families import FIRST_WORD, IMAGE, TEXT, VIDEO, VISION, WORDS, Case, Medium, finish, pictures, plain

QUERIES, FRAMES = 8, 3


def decoder(*, rotary: bool) -> Any:
    if rotary:
        return t.LlamaConfig(**TEXT)
    shape = {name: TEXT[name] for name in ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads")}
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    return t.OPTConfig(**shape, ffn_dim=48, word_embed_proj_dim=32, max_position_embeddings=128, **ids)


def query_former(prefix: str, *, rotary: bool = False, **more: Any) -> Any:
    vision = getattr(t, prefix + "VisionConfig")(**VISION)
    former = getattr(t, prefix + "QFormerConfig")(
        vocab_size=WORDS,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        encoder_hidden_size=32,
    )
    config = getattr(t, prefix + "Config")(
        vision_config=vision,
        qformer_config=former,
        text_config=decoder(rotary=rotary),
        num_query_tokens=QUERIES,
        **more,
    )
    model = getattr(t, prefix + "ForConditionalGeneration")._from_config(config, attn_implementation="sdpa")
    torch.nn.init.normal_(model.query_tokens, std=0.5)
    return finish(model)


def one_picture(row: int) -> tuple[list[Medium], dict[str, torch.Tensor]]:
    return [plain(IMAGE, QUERIES)], {"pixel_values": pictures(1, seed=row)}


def instruction(row: int) -> dict[str, torch.Tensor]:
    """What the Q-Former reads beside the picture."""
    words = torch.randint(FIRST_WORD, WORDS, (1, 4), generator=torch.Generator().manual_seed(row))
    return {"qformer_input_ids": words, "qformer_attention_mask": torch.ones_like(words)}


def instructed_picture(row: int) -> tuple[list[Medium], dict[str, torch.Tensor]]:
    media, given = one_picture(row)
    return media, given | instruction(row)


def instructed_clip(row: int) -> tuple[list[Medium], dict[str, torch.Tensor]]:
    given = {"pixel_values": pictures(FRAMES, seed=row)[None], **instruction(row)}
    return [plain(VIDEO, FRAMES * QUERIES)], given


QUERY_FORMER_CASES = (
    Case("blip-2", lambda: query_former("Blip2", image_token_index=IMAGE), one_picture),
    Case("instructblip", lambda: query_former("InstructBlip", image_token_index=IMAGE), instructed_picture),
    Case(
        "instructblip-llama",
        lambda: query_former("InstructBlip", rotary=True, image_token_index=IMAGE),
        instructed_picture,
    ),
    Case(
        "instructblipvideo",
        lambda: query_former("InstructBlipVideo", video_token_index=VIDEO),
        instructed_clip,
        "video",
    ),
)
