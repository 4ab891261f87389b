"""The oracle for evicting: the unmodified model, which keeps its whole cache, with entries hidden head by head.

Decoding steps run with a mask of their own in each layer, of shape (B, query heads, queries, keys), that closes what
the compressed model no longer holds. The prompt itself is run as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch


def evicted(held: Mapping[int, torch.Tensor], length: int) -> dict[int, torch.Tensor]:
    """By layer, (B, G, length) bool: the places that are not among those held, (B, G, P), which -1 fills up."""
    found = {}
    for layer, index in held.items():
        one_more = torch.ones(*index.shape[:2], length + 1, dtype=torch.bool)
        found[layer] = one_more.scatter(2, index.where(index >= 0, length), False)[..., :length]
    return found


@contextmanager
def hiding_entries(decoder: Any, gone: Mapping[int, torch.Tensor], *, past: int = 0) -> Iterator[None]:
    """Close the columns of `gone` in every call that follows the prompt, each head its own.

    `past`: tokens that were cached before, where the prompt itself was run outside.
    """
    seen = {"total": past, "past": past}

    def start(module: Any, args: Any, kwargs: Any) -> None:
        given = kwargs.get("inputs_embeds")
        seen["past"] = seen["total"]
        seen["total"] += (given if given is not None else kwargs["input_ids"]).shape[1]

    def close(number: int) -> Any:
        def hook(layer: Any, args: Any, kwargs: Any) -> Any:
            if not seen["past"] or number not in gone:
                return None
            states = args[0] if args else kwargs["hidden_states"]
            heads = decoder.config.num_attention_heads
            mask = _closed(kwargs.get("attention_mask"), gone[number], states, total=seen["total"], heads=heads)
            return args, {**kwargs, "attention_mask": mask}

        return hook

    handles = [decoder.register_forward_pre_hook(start, with_kwargs=True)]
    handles += [layer.register_forward_pre_hook(close(i), with_kwargs=True) for i, layer in enumerate(decoder.layers)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _closed(mask: Any, gone: torch.Tensor, states: torch.Tensor, *, total: int, heads: int) -> torch.Tensor:
    batch, queries = states.shape[:2]
    if mask is None:
        places = torch.arange(total - queries, total)
        mask = (torch.arange(total)[None] <= places[:, None])[None, None].expand(batch, 1, -1, -1)
    hidden = torch.nn.functional.pad(gone, (0, total - gone.shape[2]), value=False)
    hidden = hidden.repeat_interleave(heads // hidden.shape[1], dim=1)[:, :, None].expand(-1, -1, queries, -1)
    mask = mask.expand(batch, heads, -1, -1)
    lowest = 0 if mask.dtype == torch.bool else torch.finfo(mask.dtype).min
    closed: torch.Tensor = mask.masked_fill(hidden, lowest)
    return closed
