"""Where one call of a model is first seen: its own forward, or the part that both its forward and `generate` call."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .base import Removable

if TYPE_CHECKING:
    import torch
    from torch import nn


class Entrance:
    """The module whose forward is taken for one call of the model, and the arguments of that call."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def hook(self) -> list[Removable]:
        """What must be watched beside the module itself."""
        return []

    def arguments(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The call's arguments, of what the module was `given`."""
        return dict(given)


class EmbeddedEntrance(Entrance):
    """A language model that is handed the prompt's embeddings, media scattered into them.

    The ids are those that the embedding saw last in this thread; beams repeat the embeddings row by row.
    """

    def __init__(self, module: nn.Module, embedding: nn.Module) -> None:
        super().__init__(module)
        self.embedding = embedding
        self._local = threading.local()

    def hook(self) -> list[Removable]:
        """Remember the ids that are embedded."""
        return [self.embedding.register_forward_pre_hook(self._remember)]

    def arguments(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """With the ids whose embeddings the call carries, where they are known."""
        embeddings = given.get("inputs_embeds")
        ids, self._local.ids = getattr(self._local, "ids", None), None
        if ids is None or embeddings is None or embeddings.shape[1] != ids.shape[1]:
            return dict(given)
        return {**given, "input_ids": ids.repeat_interleave(len(embeddings) // len(ids), dim=0)}

    def _remember(self, embedding: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
        self._local.ids = args[0]
