"""What a preset says about a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Preset:
    """A published model: which it is, how it is configured, and where each value is from.

    Attributes:
        name: what it is called here, such as `qwen2.5-vl-7b`.
        model_type: the transformers model type.
        modalities: which of `image`, `video` and `audio` it takes.
        repository: the usual name of the public weights.
        source: where the values are from, one sentence each.
        parameters: how many there are, each shared tensor once; None where no published count was found.
        processor: values of its processor that decide how many tokens a medium becomes, under the processor's names.
        config: configuration values that differ from the defaults of the model type.
    """

    name: str
    model_type: str
    modalities: tuple[str, ...]
    repository: str
    source: tuple[str, ...]
    parameters: int | None = None
    processor: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
