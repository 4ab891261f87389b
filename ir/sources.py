"""Where a model to be traced comes from: a folder, a config.json, or a configuration built on the meta device."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..common.errors import BadInput
from ..common.names import unknown

if TYPE_CHECKING:
    from torch import nn


def load_config(source: str | os.PathLike[str], *, trust_remote_code: bool = False) -> Any:
    """The transformers configuration behind a name or path.

    Args:
        source: a local checkpoint folder, a config.json, a preset, or a transformers model type, whose default
            configuration is taken.
        trust_remote_code: let a checkpoint's own Python define its configuration; refused without it.

    Raises:
        BadInput: no such file or name, broken JSON, an unknown model type, or one that asks for code of its own.
    """
    path = Path(source)
    file = path / "config.json" if path.is_dir() else path
    if file.is_file():
        return _from_file(file, trust_remote_code=trust_remote_code)
    name = os.fspath(source)
    if path.is_dir() or os.sep in name or name.endswith(".json"):
        raise BadInput(f"no model at {name}: give a checkpoint folder, a config.json, or 'testbed'")
    return _named(name)


def _from_file(file: Path, *, trust_remote_code: bool) -> Any:
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{file} is not readable JSON ({error}); a checkpoint's config.json is expected") from error
    if trust_remote_code and isinstance(values, dict) and "auto_map" in values:
        from transformers import AutoConfig

        try:
            return AutoConfig.from_pretrained(file.parent, trust_remote_code=True, local_files_only=True)
        except Exception as error:
            raise BadInput(f"{file}: its own code could not be loaded: {first_line(error)}") from error
    return config_of(values, str(file))


def _named(name: str) -> Any:
    """The configuration of a preset or of a model type."""
    found = _preset(name)
    if found is not None:
        return found
    from .families.defaults import default_config

    known = buildable_classes()
    if name in known:
        return default_config(name)
    from transformers import CONFIG_MAPPING

    if name in CONFIG_MAPPING:
        raise not_multimodal(name)
    error = unknown("model", name, [*known, *_preset_names()])
    raise BadInput(
        f"no model at {name}: give a checkpoint folder, a config.json, 'testbed', a preset or a model type; {error}"
    )


def processor_settings(source: Any) -> dict[str, Any]:
    """The picture processor's settings beside a checkpoint or in a preset; empty where they are not known.

    Those of a clip stand under `video_processor`.
    """
    if not isinstance(source, (str, os.PathLike)):
        return {}
    path = Path(source)
    folder = path if path.is_dir() else path.parent
    for file in (folder / "preprocessor_config.json", folder / "processor_config.json") if path.exists() else ():
        try:
            values = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        return {**(values.get("image_processor") or values), "video_processor": values.get("video_processor") or {}}
    if not path.exists() and os.fspath(source) in _preset_names():
        from .presets import preset

        return dict(preset(os.fspath(source)).processor)
    return {}


def _preset(name: str) -> Any:
    try:
        from . import presets
    except ImportError:
        return None
    return presets.find(name)


def _preset_names() -> list[str]:
    try:
        from . import presets
    except ImportError:
        return []
    return list(presets.names())


def not_multimodal(model_type: str) -> BadInput:
    """The error for a model that takes text alone."""
    return BadInput(
        f"model type {model_type!r} is not multimodal as transformers lists it; "
        "give a model that takes images, video or audio"
    )


def config_of(values: Any, source: str) -> Any:
    """The configuration object of a decoded config.json; `source` names it in errors."""
    from transformers import CONFIG_MAPPING

    if not isinstance(values, dict) or "model_type" not in values:
        raise BadInput(f"{source} has no model_type; a checkpoint's config.json is expected")
    if "auto_map" in values:
        raise BadInput(
            f"{source} asks for code of its own (auto_map), which foveate does not run; "
            "foveate trace --trust-remote-code lets it define the configuration"
        )
    if values["model_type"] not in CONFIG_MAPPING:
        raise BadInput(f"{source}: transformers knows no model type {values['model_type']!r}; is it up to date?")
    try:
        return CONFIG_MAPPING[values["model_type"]].from_dict(values)
    except Exception as error:
        raise BadInput(f"{source} is not a valid {values['model_type']} configuration: {first_line(error)}") from error


def built_on_meta(config: Any) -> nn.Module:
    """The model of a configuration on the meta device: shapes without memory.

    Raises:
        BadInput: transformers cannot build it, with the reason.
    """
    import transformers

    known = buildable_classes()
    if config.model_type not in known:
        raise not_multimodal(config.model_type)
    return _on_meta(getattr(transformers, known[config.model_type]), config)


def copied_on_meta(model: nn.Module) -> nn.Module:
    """A model of the same class and configuration on the meta device; the live one is left alone."""
    return _on_meta(type(model), model.config)


def buildable_classes() -> dict[str, str]:
    """Class names by model type of everything that can be traced: multimodal models, and speech to text."""
    from transformers.models.auto import modeling_auto

    return {**modeling_auto.MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES, **multimodal_classes()}


def multimodal_classes() -> dict[str, str]:
    """Class names of transformers' multimodal models, by model type."""
    from transformers.models.auto import modeling_auto

    names = {
        **modeling_auto.MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES,
        **modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    }
    return {model_type: str(name) for model_type, name in names.items()}


def _on_meta(model_class: Any, config: Any) -> nn.Module:
    import torch
    from transformers.initialization import no_init_weights

    own = copy.deepcopy(config)
    own.dtype = None
    try:
        with torch.device("meta"), no_init_weights():
            model = model_class._from_config(own)
        model.tie_weights()  # which the skipped initialisation would have done
    except Exception as error:
        raise BadInput(f"transformers cannot build this {config.model_type} model: {first_line(error)}") from error
    return model  # type: ignore[no-any-return]


def first_line(error: Exception) -> str:
    """The first line of an error's message, without the advice that a colon at its end announces."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return line.rpartition(". ")[0] or line if line.endswith(":") else line
