"""A mode in which every operation that reads a tensor's values on the host raises."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

_READS = frozenset(
    (
        "_local_scalar_dense",  # item(), bool(), int(), float()
        "_unique2",
        "equal",
        "is_nonzero",
        "masked_select",
        "nonzero",
        "unique_consecutive",
        "unique_dim",
    )
)
"""Operations of aten whose answer, or whose answer's shape, depends on values, by their names."""


class NoWaiting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Raises where a GPU would be waited for: where values decide what Python does, or how large a result is.

    Example:
        >>> with NoWaiting():
        ...     total = torch.ones(3).sum()
        >>> with NoWaiting():
        ...     total.item()
        Traceback (most recent call last):
        ...
        RuntimeError: aten._local_scalar_dense reads values on the host
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation that does not read values.

        Raises:
            RuntimeError: it does.
        """
        name = func.overloadpacket.__name__
        if name in _READS or _by_mask(name, args) or (name, func._overloadname) == ("repeat_interleave", "Tensor"):
            raise RuntimeError(f"aten.{name} reads values on the host")
        return func(*args, **(kwargs or {}))


def _by_mask(name: str, args: Any) -> bool:
    """Whether a selection is by a mask, so that how many it selects is up to values."""
    return name == "index" and any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1])
