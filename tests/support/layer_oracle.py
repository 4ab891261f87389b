"""The oracle for any family: the unmodified model in `generate`, with tokens hidden from some decoder layers on.

Each layer's own mask is taken as the model built it, windows and two-way blocks included, and the columns of the hidden
tokens are closed. Both runs are forced through the same answer, so every step's logits can be compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from transformers import LogitsProcessor, LogitsProcessorList


class Forced(LogitsProcessor):
    """Allows only the next token of a given continuation."""

    def __init__(self, answer: torch.Tensor, prompt: int) -> None:
        self.answer, self.prompt = answer, prompt

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        step = input_ids.shape[1] - self.prompt
        return torch.full_like(scores, float("-inf")).scatter(1, self.answer[:, step : step + 1], 0.0)


def forced_logits(model: Any, inputs: Mapping[str, torch.Tensor], answer: torch.Tensor, **options: Any) -> torch.Tensor:
    """(B, steps, V) raw logits of the prompt's end and of each step, while the answer (B, steps) is forced."""
    processor = LogitsProcessorList([Forced(answer, inputs["input_ids"].shape[1])])
    with torch.no_grad():
        output = model.generate(
            **inputs,
            max_new_tokens=answer.shape[1],
            do_sample=False,
            eos_token_id=None,
            logits_processor=processor,
            output_logits=True,
            return_dict_in_generate=True,
            **options,
        )
    return torch.stack(output.logits, dim=1)


@contextmanager
def hiding(decoder: Any, hidden: Mapping[int, torch.Tensor]) -> Iterator[None]:
    """Close, in every layer from a first one on, the (B, L) bool columns of `hidden`; a token always sees itself."""
    length = next(iter(hidden.values())).shape[1]
    seen = {"total": 0}

    def start(module: Any, args: Any, kwargs: Any) -> None:
        given = kwargs.get("inputs_embeds")
        seen["total"] += (given if given is not None else kwargs["input_ids"]).shape[1]

    def close(number: int) -> Any:
        def hook(layer: Any, args: Any, kwargs: Any) -> Any:
            states = args[0] if args else kwargs["hidden_states"]
            columns = torch.zeros(states.shape[0], seen["total"], dtype=torch.bool)
            for first, dropped in hidden.items():
                if number >= first:
                    columns[:, :length] |= dropped
            return args, {**kwargs, "attention_mask": _closed(kwargs.get("attention_mask"), columns, states)}

        return hook

    handles = [decoder.register_forward_pre_hook(start, with_kwargs=True)]
    handles += [layer.register_forward_pre_hook(close(i), with_kwargs=True) for i, layer in enumerate(decoder.layers)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _closed(mask: torch.Tensor | None, columns: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
    batch, queries = states.shape[:2]
    total = columns.shape[1]
    if mask is None:
        places = torch.arange(total - queries, total)
        mask = (torch.arange(total)[None] <= places[:, None])[None, None].expand(batch, 1, -1, -1)
    keys = mask.shape[-1]
    dropped = columns[:, -keys:][:, None, None, :]
    own = torch.zeros(queries, keys, dtype=torch.bool)
    own[torch.arange(queries), torch.arange(keys - queries, keys)] = True
    if mask.dtype == torch.bool:
        return mask & ~dropped | own
    lowest = torch.finfo(mask.dtype).min
    return mask.masked_fill(dropped, lowest).masked_fill(own, 0.0)


def dropped_columns(
    inputs: Mapping[str, torch.Tensor], where: list[tuple[int, list[int]]], kept: torch.Tensor
) -> torch.Tensor:
    """(B, L) bool: the compressible tokens of each medium that its row of `kept` (media, K; -1 fills) leaves out."""
    mask = torch.zeros(inputs["input_ids"].shape, dtype=torch.bool)
    for (row, places), chosen in zip(where, kept.tolist(), strict=True):
        stays = {places[index] for index in chosen if index >= 0}
        mask[row, [place for place in places if place not in stays]] = True
    return mask
