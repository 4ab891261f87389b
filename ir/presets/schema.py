"""The preset file's schema (YAML at the boundary); `preset_of` turns its record into a `Preset`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ...common.validation import validate
from ...common.yaml_lines import Located
from .preset import Preset

Modality = Literal["image", "video", "audio"]
Sentence = Annotated[str, Field(min_length=1)]
OWN_KEYS = ("model_type", "architectures", "auto_map", "transformers_version")


class PresetRecord(BaseModel):
    """A preset file; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    model_type: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    repository: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]
    modalities: Annotated[list[Modality], Field(min_length=1)]
    parameters: Annotated[int, Field(gt=0)] | None = None
    source: Annotated[list[Sentence], Field(min_length=1)]
    processor: dict[str, Any] = Field(default_factory=dict)
    config: dict[str, Any] = Field(default_factory=dict)

    @field_validator("source", mode="before")
    @classmethod
    def _one_or_many(cls, source: Any) -> Any:
        return [source] if isinstance(source, str) else source

    @field_validator("modalities")
    @classmethod
    def _once_each(cls, modalities: list[str]) -> list[str]:
        if len(set(modalities)) != len(modalities):
            raise ValueError(f"{modalities} names a modality twice; write each once")
        return modalities

    @field_validator("config")
    @classmethod
    def _values_only(cls, config: dict[str, Any]) -> dict[str, Any]:
        for key in OWN_KEYS:
            if key in config:
                raise ValueError(f"{key} does not belong into config; model_type stands beside it, the rest nowhere")
        return config


def preset_of(name: str, located: Located) -> Preset:
    """The preset that the text of a file says.

    Raises:
        BadInput: a field is missing, unknown or impossible; the sentence names the line.
    """
    record = validate(PresetRecord, located)
    return Preset(
        name=name,
        model_type=record.model_type,
        modalities=tuple(record.modalities),
        repository=record.repository,
        source=tuple(record.source),
        parameters=record.parameters,
        processor=record.processor,
        config=record.config,
    )
