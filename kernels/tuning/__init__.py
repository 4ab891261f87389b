"""Tile sizes and warps of the Triton kernels, as data for each device; `default.yaml` serves unmeasured ones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pydantic

from ...common.validation import validate

if TYPE_CHECKING:
    import torch

FOLDER = Path(__file__).parent
DEFAULT = "default"
Options = dict[str, int]
_TRIED: ContextVar[dict[str, Options] | None] = ContextVar("tried", default=None)


class TuningTable(pydantic.BaseModel):
    """One table: for each kernel its choices by size, the first whose `up_to` is not exceeded being taken.

    Attributes:
        device: what torch calls the device. provenance: "measured" there, or a "default" that was only compiled.
        kernels: name to choices; `up_to` bounds the number of tokens, all else is handed to the kernel.
    """

    model_config = pydantic.ConfigDict(extra="forbid")

    device: str
    provenance: Literal["default", "measured"]
    kernels: dict[str, list[Options]]

    def options(self, kernel: str, size: int) -> Options:
        """The choice for `size` tokens.

        Raises:
            KeyError: the table has none for this kernel and size.
        """
        for choice in self.kernels[kernel]:
            if size <= choice.get("up_to", size):
                return {name: value for name, value in choice.items() if name != "up_to"}
        raise KeyError(f"{kernel} of {size} tokens")


def tuned(kernel: str, device: torch.device, *, size: int) -> Options:
    """Tile sizes and warps of `kernel` for rows of `size` tokens on `device`, as keyword arguments of a launch.

    Example:
        >>> import torch
        >>> tuned("select_top_k", torch.device("cpu"), size=576)
        {'num_warps': 4}
    """
    tried = _TRIED.get()
    if tried is not None and kernel in tried:
        return dict(tried[kernel])
    return table(_name(device.index) if device.type == "cuda" else DEFAULT).options(kernel, size)


@contextmanager
def trying(options: dict[str, Options]) -> Iterator[None]:
    """Inside the block the kernels named run with these `options` instead of their table's."""
    before = _TRIED.set(options)
    try:
        yield
    finally:
        _TRIED.reset(before)


@cache
def table(device: str) -> TuningTable:
    """The table of a device by the name that torch gives it; what was not measured there is the default's.

    Raises:
        BadInput: the file is no tuning table.
    """
    default = validate(TuningTable, FOLDER / f"{DEFAULT}.yaml")
    path = table_path(device)
    if device == DEFAULT or not path.exists():
        return default
    measured = validate(TuningTable, path)
    return measured.model_copy(update={"kernels": default.kernels | measured.kernels})


def table_path(device: str) -> Path:
    """Where the table of a device stands.

    Example:
        >>> table_path("NVIDIA H100 80GB HBM3").name
        'nvidia_h100_80gb_hbm3.yaml'
    """
    return FOLDER / f"{re.sub(r'[^a-z0-9]+', '_', device.lower()).strip('_')}.yaml"


@cache
def _name(index: int | None) -> str:
    import torch

    return torch.cuda.get_device_name(index)
