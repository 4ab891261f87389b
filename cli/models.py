"""The MODEL argument: an embedded model or a local checkpoint folder; nothing is ever fetched."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..common.errors import BadInput

if TYPE_CHECKING:
    from ..ir.graph import Graph
    from ..ir.workload import Workload

TESTBED, TESTBED_VIDEO = "testbed", "testbed-video"
ACCEPTED = "give 'testbed', 'testbed-video' or the folder of a local checkpoint (config.json, weights, processor)"


@dataclass(frozen=True)
class Embedded:
    """A model that comes with foveate: its checkpoint's name, and the workload that it is traced with."""

    checkpoint: str
    workload: str


EMBEDDED = {
    TESTBED: Embedded("image", "image=1x224x224,text=16,new=4"),
    TESTBED_VIDEO: Embedded("video", "video=16x112x112,text=8,new=4"),
}


@dataclass(frozen=True)
class Loaded:
    """A live model in eval mode, its processor, and what to call it."""

    name: str
    model: Any
    processor: Any

    @property
    def embedded(self) -> bool:
        """Whether this is a model that comes with foveate."""
        return self.name in EMBEDDED


def traced(source: str, workload: str | None = None, *, trust_remote_code: bool = False) -> Graph:
    """The graph of MODEL, built from its configuration alone: no weights are read.

    Code that comes with a checkpoint defines the configuration only with `trust_remote_code`.

    Raises:
        BadInput: there is no such model, or it is not supported, or the workload does not fit it.
    """
    from ..ir.tracing import trace
    from ..ir.workload import Workload

    if workload is not None:
        Workload.parse(workload)  # a malformed one is refused before any model is looked at
    if source in EMBEDDED:
        return trace(config_source(source), workload or EMBEDDED[source].workload, name=source)
    return trace(source, workload, trust_remote_code=trust_remote_code)


def config_source(source: str) -> Path:
    """The folder or config.json behind MODEL."""
    if source not in EMBEDDED:
        return Path(source)
    from ..testbed import checkpoint_path

    return Path(checkpoint_path(EMBEDDED[source].checkpoint))


def default_workload(source: str, workload: str | None) -> Workload:
    """The workload given, or the one that MODEL is traced with where none is."""
    return traced(source, workload).workload


def load_model(source: str, *, accelerator: bool = True) -> Loaded:
    """MODEL with its weights, on the GPU where there is one and `accelerator` allows it.

    Raises:
        BadInput: no such folder, or nothing in it that transformers can load; the sentence says why.
    """
    import torch

    _quieten()
    model, processor = _embedded(source) if source in EMBEDDED else _checkpoint(_existing_folder(source))
    device = "cuda" if accelerator and torch.cuda.is_available() else "cpu"
    return Loaded(source if source in EMBEDDED else Path(source).resolve().name, model.to(device).eval(), processor)


def _quieten() -> None:
    """Keep transformers' progress bars and advice out of our output."""
    from transformers.utils import logging as transformers_logging

    logging: Any = transformers_logging
    logging.set_verbosity_error()
    logging.disable_progress_bar()


def _embedded(source: str) -> tuple[Any, Any]:
    from ..testbed import load

    return load(EMBEDDED[source].checkpoint)


def _existing_folder(source: str) -> Path:
    folder = Path(source)
    if not folder.exists():
        raise BadInput(f"there is no model at {source}: {ACCEPTED}.")
    if not folder.is_dir():
        raise BadInput(f"{source} is a file and holds no weights: {ACCEPTED}.")
    if not (folder / "config.json").is_file():
        raise BadInput(f"{source} is no checkpoint, since it has no config.json: {ACCEPTED}.")
    return folder


def _checkpoint(folder: Path) -> tuple[Any, Any]:
    import transformers
    from transformers import AutoProcessor

    from ..ir.sources import buildable_classes, load_config, not_multimodal
    from ..runtime.adapters import live_part

    kind = load_config(folder).model_type  # refuses what asks for code of its own
    classes = buildable_classes()
    if kind not in classes:
        raise not_multimodal(kind)
    try:
        model: Any = getattr(transformers, classes[kind]).from_pretrained(folder, local_files_only=True, dtype="auto")
        processor = AutoProcessor.from_pretrained(folder, local_files_only=True)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, KeyError, ImportError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BadInput(f"transformers cannot load a model and its processor from {folder}: {reason}") from error
    return live_part(model), processor
