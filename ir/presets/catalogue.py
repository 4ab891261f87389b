"""The presets that come with foveate, by name."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from ...common.names import unknown
from ...common.yaml_lines import parse
from .preset import Preset
from .schema import preset_of

if TYPE_CHECKING:
    from transformers import PretrainedConfig

_SUFFIX = ".yaml"


@cache
def names() -> tuple[str, ...]:
    """Names of the presets, sorted: one file of `ir/presets/` each.

    Example:
        >>> "qwen2.5-vl-7b" in names()
        True
    """
    entries = (entry.name for entry in files(__package__).iterdir())
    return tuple(sorted(entry.removesuffix(_SUFFIX) for entry in entries if entry.endswith(_SUFFIX)))


@cache
def preset(name: str) -> Preset:
    """What the file of a preset says.

    Raises:
        BadInput: there is no such preset; the nearest name is offered.

    Example:
        >>> preset("llava-1.5-7b").parameters
        7063427072
        >>> preset("lava-1.5-7b")
        Traceback (most recent call last):
        foveate.common.errors.BadInput: unknown preset 'lava-1.5-7b': did you mean 'llava-1.5-7b'?
    """
    if name not in names():
        raise unknown("preset", name, names())
    file = f"{name}{_SUFFIX}"
    return preset_of(name, parse((files(__package__) / file).read_text(encoding="utf-8"), source=f"presets/{file}"))


def presets() -> tuple[Preset, ...]:
    """Every preset, by name."""
    return tuple(preset(name) for name in names())


def find(name: str) -> PretrainedConfig | None:
    """The configuration of the preset called `name`, or None where there is none."""
    return load(name) if name in names() else None


def load(name: str) -> PretrainedConfig:
    """The transformers configuration of a preset, new at each call; no weights are read and nothing is fetched.

    Raises:
        BadInput: there is no such preset (the nearest name is offered), or this transformers cannot read its values.

    Example:
        >>> load("llava-1.5-7b").text_config.vocab_size
        32064
    """
    from ..sources import config_of

    found = preset(name)
    config: PretrainedConfig = config_of({**deepcopy(dict(found.config)), "model_type": found.model_type}, name)
    return config
