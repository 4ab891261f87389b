"""What a study was measured on, in short digests: its calibration samples and the weights of its model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..fidelity.samples import CalibrationSample

if TYPE_CHECKING:
    import torch

_DIGITS = 12
_VALUES_EACH = 64
"""Values of each parameter that are looked at: other weights differ in most of them, and few are read in no time."""


def samples_identity(samples: Sequence[CalibrationSample]) -> str:
    """How many samples, and a digest of their inputs and answers in order; where they were read from does not count.

    >>> samples_identity(())
    '0 (e3b0c44298fc)'
    """
    import torch

    digest = hashlib.sha256()
    for sample in samples:
        digest.update(repr(sample.answer).encode())
        for name, value in sorted(sample.inputs.items()):
            digest.update(_heading(name, value, str(value.dtype)))
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return f"{len(samples)} ({digest.hexdigest()[:_DIGITS]})"


def weights_identity(model: Any) -> str:
    """A digest of a model's parameters: names, shapes and some values of each.

    >>> weights_identity(None)
    'none'
    """
    if model is None:
        return "none"
    digest = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        digest.update(_heading(name, parameter))
        digest.update(_some_values(parameter))
    return digest.hexdigest()[:_DIGITS]


def _heading(name: str, value: torch.Tensor, *more: str) -> bytes:
    return repr((name, tuple(value.shape), *more)).encode()


def _some_values(parameter: torch.Tensor) -> bytes:
    """The float32 bytes of values at even distances; none of weights that are kept elsewhere."""
    import torch

    if parameter.is_meta:
        return b""
    flat = parameter.detach().reshape(-1)
    step = max(1, flat.numel() // _VALUES_EACH)
    found: bytes = flat[::step][:_VALUES_EACH].to("cpu", torch.float32).numpy().tobytes()
    return found
