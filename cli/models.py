"""The MODEL argument: the embedded model or a local checkpoint folder; nothing is ever fetched."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..common.errors import BadInput

if TYPE_CHECKING:
    from ..ir.graph import Graph
    from ..ir.workload import Workload

TESTBED = "testbed"
TESTBED_WORKLOAD = "image=1x224x224,text=16,new=4"
ACCEPTED = "give 'testbed' or the folder of a local checkpoint (config.json, weights, processor)"


@dataclass(frozen=True)
class Loaded:
    """A live model in eval mode, its processor, and what to call it."""

    name: str
    model: Any
    processor: Any

    @property
    def embedded(self) -> bool:
        """Whether this is the model that comes with foveate."""
        return self.name == TESTBED


def traced(source: str, workload: str | None = None) -> Graph:
    """The graph of MODEL, built from its configuration alone: no weights are read.

    Raises:
        BadInput: there is no such model, or it is not supported, or the workload does not fit it.
    """
    from ..ir.tracing import trace
    from ..ir.workload import Workload

    if workload is not None:
        Workload.parse(workload)  # a malformed one is refused before any model is looked at
    if source == TESTBED:
        return trace(config_source(source), workload or TESTBED_WORKLOAD, name=TESTBED)
    return trace(source, workload)


def config_source(source: str) -> Path:
    """The folder or config.json behind MODEL."""
    if source != TESTBED:
        return Path(source)
    from ..testbed import checkpoint_path

    return Path(checkpoint_path("image"))


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
    model, processor = _embedded() if source == TESTBED else _checkpoint(_existing_folder(source))
    device = "cuda" if accelerator and torch.cuda.is_available() else "cpu"
    return Loaded(source if source == TESTBED else Path(source).resolve().name, model.to(device).eval(), processor)


def _quieten() -> None:
    """Keep transformers' progress bars and advice out of our output."""
    from transformers.utils import logging as transformers_logging

    logging: Any = transformers_logging
    logging.set_verbosity_error()
    logging.disable_progress_bar()


def _embedded() -> tuple[Any, Any]:
    from ..testbed import load

    return load("image")


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
    from transformers import AutoModelForImageTextToText, AutoProcessor

    from ..ir.sources import load_config

    load_config(folder)  # refuses what asks for code of its own, and says which model types are unknown
    try:
        model = AutoModelForImageTextToText.from_pretrained(folder, local_files_only=True, dtype="auto")
        processor = AutoProcessor.from_pretrained(folder, local_files_only=True)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, KeyError, ImportError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BadInput(f"transformers cannot load a model and its processor from {folder}: {reason}") from error
    return model, processor
