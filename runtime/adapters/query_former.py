"""BLIP-2 and InstructBLIP: query tokens stand for each picture, and `generate` calls the language model itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from ...ir.layout import Layout
from .base import Adapter, Medium, adapter
from .entrance import EmbeddedEntrance, Entrance
from .sounds import runs

if TYPE_CHECKING:
    from torch import nn


@adapter
class QueryFormer(Adapter):
    """Counting the placeholders costs one host synchronisation in the prefill: the call carries no pixels any more."""

    model_types: ClassVar[tuple[str, ...]] = ("blip-2", "instructblip")

    def entrance(self, model: nn.Module) -> Entrance:
        """The language model, which `generate` calls past the outer forward."""
        return EmbeddedEntrance(model.language_model, model.get_input_embeddings())  # type: ignore[arg-type, operator]

    def decoder(self, model: nn.Module) -> nn.Module:
        """The stack inside the language model."""
        return super().decoder(model.language_model)  # type: ignore[arg-type]

    def media(self, config: Any, arguments: Mapping[str, Any]) -> dict[str, list[Medium]]:
        """One medium of `num_query_tokens` for each so many placeholders."""
        if not _carries_media(arguments):
            return {}
        held = int((arguments["input_ids"] == self.placeholder(config, "image")).sum())
        queries = int(config.num_query_tokens)
        return {"image": [Medium(Layout(queries))] * (held // queries)} if held else {}

    def encoder(self, model: nn.Module, modality: str) -> nn.Module:
        """The vision model; what the Q-Former makes of its output is the stream of media tokens."""
        return model.vision_model  # type: ignore[return-value]


@adapter
class VideoQueryFormer(QueryFormer):
    """InstructBLIP for clips: the query tokens of every frame in turn."""

    model_types = ("instructblipvideo",)
    modalities = ("video",)

    def media(self, config: Any, arguments: Mapping[str, Any]) -> dict[str, list[Medium]]:
        """One medium for each run of placeholders."""
        if not _carries_media(arguments):
            return {}
        lengths = runs(arguments["input_ids"], self.placeholder(config, "video"))
        return {"video": [Medium(Layout(length)) for length in lengths]} if lengths else {}


def _carries_media(arguments: Mapping[str, Any]) -> bool:
    """Whether a call may hold media: later steps come as ids alone."""
    given = {name for name, value in arguments.items() if value is not None}
    return "input_ids" in given and bool(given & {"inputs_embeds", "pixel_values"})
