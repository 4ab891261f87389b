"""The thinkers of Qwen2.5-Omni and Qwen3-Omni: pictures, clips and sounds in one prompt."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ...ir.layout import Layout
from .base import Medium, Removable, adapter
from .qwen3_vl import Deepstack
from .qwen_vl import QwenVL

if TYPE_CHECKING:
    from torch import nn

    from ..call import Call


class OmniAdapter(QwenVL):
    """As Qwen-VL, and sounds, whose tokens may stand between those of the clip that they belong to."""

    modalities = ("image", "video", "audio")

    @abstractmethod
    def sound_tokens(self, config: Any, frames: int) -> int:
        """Tokens of a sound of so many feature frames."""

    def media(self, config: Any, arguments: Mapping[str, Any]) -> dict[str, list[Medium]]:
        """Grids as they come with the call, and one medium for each row of `feature_attention_mask`."""
        found = super().media(config, arguments)
        if arguments.get("input_features") is not None:
            frames = arguments["feature_attention_mask"].sum(dim=1).tolist()
            found["audio"] = [Medium(Layout(self.sound_tokens(config, int(length)))) for length in frames]
        return found

    def encoder(self, model: nn.Module, modality: str) -> nn.Module:
        """Its vision or its audio tower."""
        base: Any = getattr(model, "base_model", model)
        return base.audio_tower if modality == "audio" else base.visual  # type: ignore[no-any-return]


@adapter
class Qwen25Omni(OmniAdapter):
    """Qwen2.5-Omni: two strides of two."""

    model_types = ("qwen2_5_omni_thinker",)

    def sound_tokens(self, config: Any, frames: int) -> int:
        """A quarter of the frames or so."""
        return ((frames - 1) // 2 + 1 - 2) // 2 + 1


@adapter
class Qwen3Omni(OmniAdapter):
    """Qwen3-Omni: thirteen tokens for each whole window, three strides of two for the rest; deepstack features."""

    model_types = ("qwen3_omni_moe_thinker",)

    def sound_tokens(self, config: Any, frames: int) -> int:
        """What its convolutions leave of each window of `2 * n_window` frames."""
        whole, rest = divmod(frames, 2 * int(config.audio_config.n_window))
        for _ in range(3):
            rest = (rest - 1) // 2 + 1
        return 13 * whole + rest

    def extra_hooks(self, model: nn.Module, call: Callable[[], Call | None]) -> list[Removable]:
        """Deepstack features follow the visual tokens which remain."""
        return [Deepstack(self.decoder(model), call)]
