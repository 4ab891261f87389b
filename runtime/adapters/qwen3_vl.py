"""Qwen3-VL, dense and mixture of experts: features of several encoder layers are added in the first decoder layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .base import Removable, adapter
from .qwen_vl import QwenVL

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ..call import Call


@adapter
class Qwen3VL(QwenVL):
    """As Qwen2-VL, with deepstack features that follow the visual tokens which remain."""

    model_types = ("qwen3_vl", "qwen3_vl_moe")

    def extra_hooks(self, model: nn.Module, call: Callable[[], Call | None]) -> list[Removable]:
        """Deepstack features are merged and gathered as the tokens that they belong to."""
        return [Deepstack(self.decoder(model), call)]


class Deepstack:
    """Stands before the decoder's own addition of deepstack features until it is removed."""

    def __init__(self, decoder: Any, call: Callable[[], Call | None]) -> None:
        self.decoder, self.call = decoder, call
        self.original = decoder._deepstack_process
        decoder._deepstack_process = self.process

    def process(self, hidden: torch.Tensor, places: torch.Tensor, features: torch.Tensor) -> Any:
        """Add `features` (R, D) where `places` (B, L) is set, for the tokens that remain in `hidden` (B, P, D)."""
        call = self.call()
        if call is not None and call.prefill:
            features, places = call.state.carried(features, places, modalities=("image", "video"))
        return self.original(hidden, places, features)

    def remove(self) -> None:
        """Give the decoder its own method back."""
        self.decoder.__dict__.pop("_deepstack_process", None)
