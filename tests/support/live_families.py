"""Tiny random models of many families, inputs for them, and where their compressible media tokens stand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

WORDS = 64
PAD, START, IMAGE, VIDEO, AUDIO = 0, 1, 3, 4, 5
FIRST_WORD = 10
TEXT: dict[str, Any] = {
    "vocab_size": WORDS,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": PAD,
    "bos_token_id": START,
    "eos_token_id": 2,
}
VISION: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "image_size": 56,
    "patch_size": 14,
}


@dataclass(frozen=True)
class Medium:
    """One image, clip or sound of a prompt: the ids that stand for it, and which of them can be compressed."""

    token: int
    ids: tuple[int, ...]
    compressible: tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """A family in the matrix.

    `media` gives, for a prompt's row, its media and their features (arguments of the model's forward); `types` names
    the argument that tells media tokens from text, where the family wants one.
    """

    name: str
    build: Callable[[], Any]
    media: Callable[[int], tuple[list[Medium], dict[str, torch.Tensor]]]
    modality: str = "image"
    types: str | None = None


def plain(token: int, count: int, *, before: tuple[int, ...] = (), after: tuple[int, ...] = ()) -> Medium:
    """A medium of `count` placeholders that can all be compressed, between ids that are text."""
    ids = (*before, *[token] * count, *after)
    return Medium(token, ids, tuple(range(len(before), len(before) + count)))


def with_separators(token: int, count: int, separators: set[int]) -> Medium:
    """A medium of `count` placeholders of which some are separators."""
    return Medium(token, (token,) * count, tuple(i for i in range(count) if i not in separators))


def finish(model: Any, *, seed: int = 0) -> Any:
    """Weights large enough that every token matters to the logits."""
    torch.manual_seed(seed)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.15)
    return model.eval()


def pictures(count: int, size: int = 56, *, seed: int = 0) -> torch.Tensor:
    """(count, 3, size, size) random pixels."""
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def batch(
    case: Case, *, rows: int = 2, seed: int = 0, side: str = "left"
) -> tuple[dict[str, torch.Tensor], list[tuple[int, list[int]]]]:
    """Inputs of `rows` prompts of different lengths padded on `side`, and (row, compressible places) of each medium.

    A fourth row has the media of the first.
    """
    prompts, features, where = [], [], []
    for row in range(rows):
        media, given = case.media(row % 3)
        generator = torch.Generator().manual_seed(seed + row)
        words = torch.randint(FIRST_WORD, WORDS, (3 + 2 * row + len(media),), generator=generator).tolist()
        ids, spans = [START], []
        for word, medium in zip(words, media, strict=False):
            spans.append([len(ids) + place for place in medium.compressible])
            ids += [*medium.ids, word]
        prompts.append((ids + words[len(media) :], spans))
        features.append(given)
    width = max(len(ids) for ids, _ in prompts)
    for row, (ids, spans) in enumerate(prompts):
        start = width - len(ids) if side == "left" else 0
        where += [(row, [start + place for place in span]) for span in spans]
    inputs = {
        "input_ids": torch.tensor([_padded(ids, width, PAD, side) for ids, _ in prompts]),
        "attention_mask": torch.tensor([_padded([1] * len(ids), width, 0, side) for ids, _ in prompts]),
        **{name: torch.cat([given[name] for given in features if name in given]) for name in features[0]},
    }
    if case.types is not None:
        media = (inputs["input_ids"] == IMAGE) | (inputs["input_ids"] == VIDEO)
        inputs[case.types] = media.int() * (2 if case.modality == "video" else 1)
    return inputs, where


def _padded(values: list[int], width: int, filler: int, side: str) -> list[int]:
    missing = [filler] * (width - len(values))
    return missing + values if side == "left" else values + missing
