"""Families that hear: as many tokens as their processor wrote placeholders, one run of them for each sound."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, cast

from ...ir.layout import Layout
from .base import Adapter, Medium, adapter
from .encoder_flow import EncoderFlow, dense

if TYPE_CHECKING:
    from torch import nn


@adapter
class Sounds(Adapter):
    """Qwen2-Audio, Audio Flamingo 3, Granite Speech, GLM-ASR, Qwen3-ASR: only the processor knows how long a sound is.

    Reading the runs of placeholders costs one host synchronisation in the prefill, as these models' own check does.
    """

    model_types: ClassVar[tuple[str, ...]] = ("qwen2_audio", "audioflamingo3", "granite_speech", "glmasr", "qwen3_asr")
    modalities = ("audio",)

    def media(self, config: Any, arguments: Mapping[str, Any]) -> dict[str, list[Medium]]:
        """One medium for each run of placeholders."""
        precomputed = (arguments.get("mm_encoder_outputs") or {}).get("audio")
        if arguments.get("input_features") is None and precomputed is None:
            return {}
        lengths = runs(arguments["input_ids"], self.placeholder(config, "audio"))
        return {"audio": [Medium(Layout(length)) for length in lengths]}


@adapter
class Voxtral(Sounds):
    """Voxtral: chunks of 30 s follow each other; positions side by side are one vector to the projector."""

    model_types = ("voxtral",)

    def encoder_depth(self, config: Any, modality: str) -> int:
        """The layers of the audio tower."""
        return int(config.audio_config.num_hidden_layers)

    def encoder_flow(self, model: nn.Module, modality: str) -> EncoderFlow:
        """The projector maps units one by one."""
        config, encoder = cast(Any, model.config), cast(Any, self.encoder(model, modality))
        tower = config.audio_config
        run = tower.intermediate_size // tower.hidden_size
        return EncoderFlow(
            encoder,
            encoder.layers,
            dense(Layout(tower.max_source_positions // run), run=run),
            last=self.selected_layer(config, modality),
            projector=self.projector(model, modality),
            restored=encoder,
        )


def runs(input_ids: Any, token: int) -> list[int]:
    """Lengths of the runs of `token` in the rows of `input_ids` (B, L), in order.

    Example:
        >>> import torch
        >>> runs(torch.tensor([[7, 7, 1, 7], [7, 1, 1, 7]]), 7)
        [2, 1, 1, 1]
    """
    import torch

    mask = torch.nn.functional.pad((input_ids == token).int(), (1, 1))
    edges = mask.diff(dim=1).reshape(-1).cpu()
    starts, ends = (edges == 1).nonzero()[:, 0], (edges == -1).nonzero()[:, 0]
    lengths: list[int] = (ends - starts).tolist()
    return lengths
