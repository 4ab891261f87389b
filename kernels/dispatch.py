"""Which way a kernel runs: Triton on a GPU, torch everywhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, wraps
from importlib.util import find_spec
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

if TYPE_CHECKING:
    import torch

Rest = ParamSpec("Rest")
Result = TypeVar("Result")

LONGEST_ROW = 8192
"""Tokens that one Triton program can hold in registers without spilling; longer rows take the torch way."""

_EAGER = ContextVar("eager", default=False)


def runs_on_gpu(*tensors: torch.Tensor | None) -> bool:
    """Whether Triton may serve a call with these tensors; None stands for an argument that was not given.

    They must all be on one GPU, none in float64 or complex (Triton's kernels compute in float32), and no gradient may
    be asked for: the kernels have no backward pass.
    """
    import torch

    given = [tensor for tensor in tensors if tensor is not None]
    return (
        all(tensor.is_cuda and tensor.dtype != torch.float64 and not tensor.is_complex() for tensor in given)
        and len({tensor.device for tensor in given}) == 1
        and not (torch.is_grad_enabled() and any(tensor.requires_grad for tensor in given))
        and _has_triton()
        and not _EAGER.get()
    )


@contextmanager
def eager() -> Iterator[None]:
    """Inside the block every kernel takes its torch way, on a GPU too; for comparisons."""
    before = _EAGER.set(True)
    try:
        yield
    finally:
        _EAGER.reset(before)


def on_own_device(
    launcher: Callable[Concatenate[torch.Tensor, Rest], Result],
) -> Callable[Concatenate[torch.Tensor, Rest], Result]:
    """Decorator of a launcher: run it on the GPU of its first argument, which need not be the current one."""

    @wraps(launcher)
    def on_device(first: torch.Tensor, /, *args: Rest.args, **kwargs: Rest.kwargs) -> Result:
        import torch

        with torch.cuda.device(first.device if first.is_cuda else -1):  # -1 leaves the device as it is
            return launcher(first, *args, **kwargs)

    return on_device


@cache
def _has_triton() -> bool:
    return find_spec("triton") is not None
