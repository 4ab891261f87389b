"""Tracing: from a model or its configuration to the graph of its token flow, on shapes alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..common.errors import BadInput
from .fingerprint import fingerprint
from .graph import Graph
from .sources import built_on_meta, copied_on_meta, load_config, processor_settings
from .workload import Images, Video, Workload

if TYPE_CHECKING:
    from .families.row import Row


def trace(
    model: Any, workload: Workload | str | None = None, *, name: str | None = None, trust_remote_code: bool = False
) -> Graph:
    """The token flow of `model` under `workload`: stages, layers, operations, streams and sites.

    Nothing is computed but shapes: the model is built on the meta device, one request runs through it as shapes, and
    each distinct layer runs again at a few other counts, through which the cost polynomials are laid.

    Args:
        model: a live transformers model, a configuration object, a local checkpoint folder, the path of a
            config.json, a transformers model type such as `qwen2_vl`, or a preset. No weights, no network.
        workload: the request, or its short text form such as `image=1x336x336,text=64,new=128`; by default one
            picture (or clip, or sound) and 32 text tokens.
        name: what to call the model in plans and tables.
        trust_remote_code: let a checkpoint's own Python define its configuration; refused without it.

    Raises:
        BadInput: no such file, a model that is not supported, or a workload that it cannot take.

    Example:
        >>> import foveate
        >>> from transformers import LlavaConfig
        >>> graph = foveate.trace(LlavaConfig(image_token_index=32000), "image=1x336x336,text=64,new=1")
        >>> graph.decoder.tokens_in
        640
    """
    named = isinstance(model, (str, os.PathLike))
    source = load_config(model, trust_remote_code=trust_remote_code) if named else model
    config = getattr(source, "config", source)
    if not hasattr(config, "to_dict"):
        raise BadInput(f"cannot trace a {type(model).__name__}; give a transformers model, configuration or folder")
    from .families.table import row_of
    from .flow import Tracer

    identity = fingerprint(config)
    if hasattr(config, "thinker_config"):  # an omni model answers with its thinker; the talker comes after it
        source, config = getattr(source, "thinker", config.thinker_config), config.thinker_config
    import torch

    # A live model that was loaded from a folder has its processor's settings there.
    row = row_of(config, processor_settings(model if named else getattr(config, "_name_or_path", "") or None))
    request = Workload.parse(workload) if isinstance(workload, str) else workload
    with torch.inference_mode(mode=False):  # a caller's inference mode would hide operations from the recorder
        built = copied_on_meta(source) if hasattr(source, "modules") else built_on_meta(config)
        request = _checked(request, row, built, config)
        title = name or _name(model, config)
        return Tracer(built, row, request).graph(title, str(config.model_type), identity)


def _checked(workload: Workload | None, row: Row, model: Any, config: Any) -> Workload:
    """The workload, or the default one; refused where the model cannot take it."""
    taken = taken_modalities(row, model, config)
    if workload is None:
        return default_workload(row, taken)
    for modality in workload.modalities:
        if modality not in taken:
            offered = ", ".join(taken)
            raise BadInput(f"the workload has {modality}, which {config.model_type} does not take (it takes {offered})")
    if row.together(workload.modalities) != workload.modalities:
        mixed = " and ".join(workload.modalities)
        raise BadInput(f"{config.model_type} cannot take {mixed} in one request; give the workload one of them")
    return workload


def taken_modalities(row: Row, model: Any, config: Any) -> tuple[str, ...]:
    """The modalities that a model takes.

    Raises:
        BadInput: it takes text alone.
    """
    taken = row.modalities(model)
    if not taken:
        raise BadInput(f"{config.model_type} takes no images, video or audio; give a model that does")
    return taken


def default_workload(row: Row, modalities: tuple[str, ...], *, every: bool = False) -> Workload:
    """One picture of the tower's size, or where the model sees none one clip or sound; all of them if `every`."""
    wanted = modalities if every else modalities[:1]
    height, width = row.usual_size()
    return Workload(
        images=(Images(1, height, width),) if "image" in wanted else (),
        videos=(Video(8, height, width),) if "video" in wanted else (),
        audio_seconds=(30.0,) if "audio" in wanted else (),
    )


def _name(model: Any, config: Any) -> str:
    if isinstance(model, (str, os.PathLike)):
        path = Path(model).absolute()
        return path.parent.name if path.name == "config.json" else path.name
    return Path(str(getattr(config, "_name_or_path", "") or "")).name or str(config.model_type)
