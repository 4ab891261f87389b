"""The oracle for dropping: the unmodified model with the dropped tokens hidden by 4-d masks from a layer on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


class HiddenTokens:
    """Runs a model token by token or in one go while some prompt tokens are hidden from some layers on.

    `hidden` maps a first layer to a (B, L) bool mask of prompt tokens that no later layer may attend to.
    """

    def __init__(self, model: nn.Module, hidden: dict[int, torch.Tensor], inputs: dict[str, torch.Tensor]) -> None:
        self.model, self.hidden = model, hidden
        self.padding = inputs["attention_mask"].bool()
        self.cache: Any = None
        self.seen = 0

    def forward(self, input_ids: torch.Tensor, **media: torch.Tensor) -> torch.Tensor:
        """Logits (B, T, V) of new tokens, media tokens included."""
        batch, new = input_ids.shape
        if self.seen:
            self.padding = torch.cat([self.padding, torch.ones(batch, new, dtype=torch.bool)], dim=1)
        positions = self.padding.long().cumsum(1).sub(1).clamp(min=0)[:, self.seen :]
        with self._masks(new):
            output = self.model(
                input_ids=input_ids,
                attention_mask=self._mask(new, layer=0),
                position_ids=positions,
                past_key_values=self.cache,
                use_cache=True,
                **media,
            )
        self.cache, self.seen = output.past_key_values, self.seen + new
        return output.logits

    def _mask(self, new: int, *, layer: int) -> torch.Tensor:
        total = self.seen + new
        queries = torch.arange(self.seen, total)
        causal = torch.arange(total)[None] <= queries[:, None]
        visible = self.padding.clone()
        for first, dropped in self.hidden.items():
            if layer >= first:
                visible[:, : dropped.shape[1]] &= ~dropped
        own = torch.arange(total)[None] == queries[:, None]
        mask = causal[None] & visible[:, None, :] | own[None]
        if self.model.config._attn_implementation == "eager":
            return torch.zeros(mask.shape).masked_fill(~mask, torch.finfo(torch.float32).min)[:, None]
        return mask[:, None]

    @contextmanager
    def _masks(self, new: int) -> Iterator[None]:
        layers: Sequence[nn.Module] = self.model.get_decoder().layers
        handles = []
        for number, layer in enumerate(layers):
            mask = self._mask(new, layer=number)
            handles.append(
                layer.register_forward_pre_hook(
                    lambda module, args, kwargs, mask=mask: (args, {**kwargs, "attention_mask": mask}), with_kwargs=True
                )
            )
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def dropped_mask(
    inputs: dict[str, torch.Tensor], selections: torch.Tensor, *, image_token: int, tokens: int = 16
) -> torch.Tensor:
    """(B, L) bool: the media tokens that are not in `selections` (media, K); -1 fills rows that keep fewer."""
    flat = (inputs["input_ids"] == image_token).reshape(-1)
    places = flat.nonzero()[:, 0].view(-1, tokens)
    known = torch.ones(len(places), tokens + 1, dtype=torch.bool)
    dropped = known.scatter(1, selections % (tokens + 1), False)[:, :tokens]
    mask = torch.zeros_like(flat)
    mask[places[dropped]] = True
    return mask.view_as(inputs["input_ids"])
