"""Running a hook outside of the graphs that torch.compile makes of a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch

Function = TypeVar("Function", bound=Callable[..., Any])


def eagerly(function: Function) -> Function:
    """`function`, never traced: for what depends on values, or on how long the sequence is, which graphs must not."""
    return cast(Function, torch.compiler.disable(function))  # type: ignore[no-untyped-call]
