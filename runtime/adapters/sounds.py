"""Families that hear: as many tokens as their processor wrote placeholders, one run of them for each sound."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...ir.layout import Layout
from .base import Adapter, Medium, adapter


@adapter
class Sounds(Adapter):
    """Qwen2-Audio, Voxtral, Audio Flamingo 3 and Granite Speech: the length of a sound is known to its processor only.

    Reading the runs of placeholders costs one host synchronisation in the prefill, as these models' own check does.
    """

    model_types = ("qwen2_audio", "voxtral", "audioflamingo3", "granite_speech")
    modalities = ("audio",)

    def media(self, config: Any, arguments: Mapping[str, Any]) -> dict[str, list[Medium]]:
        """One medium for each run of placeholders."""
        precomputed = (arguments.get("mm_encoder_outputs") or {}).get("audio")
        if arguments.get("input_features") is None and precomputed is None:
            return {}
        lengths = runs(arguments["input_ids"], self.placeholder(config, "audio"))
        return {"audio": [Medium(Layout(length)) for length in lengths]}


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
