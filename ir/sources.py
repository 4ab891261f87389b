"""Where a model to be traced comes from: a folder, a config.json, or a configuration built on the meta device."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..common.errors import BadInput

if TYPE_CHECKING:
    from torch import nn


def load_config(source: str | os.PathLike[str]) -> Any:
    """The transformers configuration in a local checkpoint folder or config.json.

    Raises:
        BadInput: no such file, broken JSON, an unknown model type, or one that asks for code of its own.
    """
    path = Path(source)
    file = path / "config.json" if path.is_dir() else path
    if not file.is_file():
        raise BadInput(f"no model at {os.fspath(source)}: give a checkpoint folder, a config.json, or 'testbed'")
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{file} is not readable JSON ({error}); a checkpoint's config.json is expected") from error
    return config_of(values, str(file))


def config_of(values: Any, source: str) -> Any:
    """The configuration object of a decoded config.json; `source` names it in errors."""
    from transformers import CONFIG_MAPPING

    if not isinstance(values, dict) or "model_type" not in values:
        raise BadInput(f"{source} has no model_type; a checkpoint's config.json is expected")
    if "auto_map" in values:
        raise BadInput(f"{source} asks for code of its own (auto_map), which foveate does not run")
    if values["model_type"] not in CONFIG_MAPPING:
        raise BadInput(f"{source}: transformers knows no model type {values['model_type']!r}; is it up to date?")
    try:
        return CONFIG_MAPPING[values["model_type"]].from_dict(values)
    except Exception as error:
        raise BadInput(f"{source} is not a valid {values['model_type']} configuration: {_first_line(error)}") from error


def built_on_meta(config: Any) -> nn.Module:
    """The model of a configuration on the meta device: shapes without memory.

    Raises:
        BadInput: transformers cannot build it, with the reason.
    """
    import torch
    from transformers import AutoModelForImageTextToText

    try:
        with torch.device("meta"):
            return AutoModelForImageTextToText.from_config(config)  # type: ignore[no-any-return, no-untyped-call]
    except Exception as error:
        raise BadInput(f"transformers cannot build this {config.model_type} model: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
