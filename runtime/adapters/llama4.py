"""Llama 4: tiles after a pixel shuffle; layers without rotary embedding scale queries by their position."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from ...ir.layout import Layout
from .base import Removable, adapter
from .encoder_flow import EncoderFlow, dense
from .tiles import TiledAdapter, square

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ..call import Call


@adapter
class Llama4(TiledAdapter):
    """`pixel_shuffle_ratio` of the vision configuration says how far a tile's side shrinks."""

    model_types = ("llama4",)

    def tile(self, config: Any) -> Layout:
        """The shuffled grid of one tile."""
        return square(config.vision_config, factor=1 / config.vision_config.pixel_shuffle_ratio)

    def precomputed_tiles(self, outputs: Any) -> int:
        """The encoder's output has one entry a tile; the projector runs later."""
        return int(outputs.last_hidden_state.shape[0])

    def encoder_flow(self, model: nn.Module, modality: str) -> EncoderFlow:
        """[CLS] stands after the patches and leaves after the last norm; then patches are folded."""
        encoder, config = cast(Any, self.encoder(model, modality)), cast(Any, model.config)
        return EncoderFlow(
            encoder,
            self.encoder_layers(model, modality),
            dense(self.tile(config), side=round(1 / config.vision_config.pixel_shuffle_ratio), after=1),
            last=self.selected_layer(config, modality),
            restored=encoder.layernorm_post,
        )

    def extra_hooks(self, model: nn.Module, call: Callable[[], Call | None]) -> list[Removable]:
        """Temperature tuning reads original positions."""
        found: list[Removable] = []
        for number, layer in enumerate(self.decoder(model).layers):  # type: ignore[arg-type]
            attention: Any = layer.self_attn
            if attention.attn_temperature_tuning and not attention.use_rope:
                found.append(attention.q_proj.register_forward_hook(_Temperature(attention, number, call)))
        return found


class _Temperature:
    """Scales queries so that the layer's own scale, taken at places without gaps, becomes that of original positions.

    The layer multiplies query i by f(past + i), f(p) = log(1 + floor((p + 1) / floor_scale)) * attn_scale + 1.
    """

    def __init__(self, attention: Any, number: int, call: Callable[[], Call | None]) -> None:
        self.floor_scale, self.attn_scale = attention.floor_scale, attention.attn_scale
        self.number, self.call = number, call

    def __call__(self, projection: Any, args: Any, queries: torch.Tensor) -> torch.Tensor | None:
        call = self.call()
        level = None if call is None else call.level_of(self.number)
        if call is None or level is None:
            return None
        import torch

        count, length = queries.shape[1], call.cached_length(self.number)
        gapless = torch.arange(length - count, length, device=queries.device)
        ratio = self._scale(level.index[:, -count:]) / self._scale(gapless)
        return (queries * ratio[..., None]).to(queries.dtype)

    def _scale(self, positions: torch.Tensor) -> torch.Tensor:
        import torch

        scale: torch.Tensor = torch.log1p(torch.floor((positions.float() + 1) / self.floor_scale))
        return scale * float(self.attn_scale) + 1
