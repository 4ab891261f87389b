"""Holding an ONNX model to torch before it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import onnx
import onnxruntime

from ...common.errors import BadInput, InternalError
from .recording import several

if TYPE_CHECKING:
    import torch

    from .compressed_encoder import CompressedEncoder

TOLERANCE = 1e-4
"""Largest difference from torch, relative to the largest feature, with which a model is written."""

_LARGEST = 2**31


def _require_size(program: Any) -> None:
    """Refuse a model that no single file can hold.

    Raises:
        BadInput: it is larger than 2 GiB.
    """
    if program.ByteSize() >= _LARGEST:
        raise BadInput(f"this encoder takes {program.ByteSize() / 2**30:.1f} GiB, and an ONNX file holds less than 2")


def verified(program: Any, encoder: CompressedEncoder, features: torch.Tensor) -> tuple[bytes, float]:
    """The checked model as bytes, and how far it is from torch on one medium and on three."""
    _require_size(program)
    onnx.checker.check_model(program, full_check=True)
    data: bytes = program.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    worst = 0.0
    for count in (1, 3):
        batch = several(features, count)
        expected, places = encoder(batch)
        found, where = session.run(None, {name: batch.numpy()})
        if (where != places.numpy()).any():
            raise InternalError(f"onnxruntime keeps other {encoder.modality} tokens than torch does")
        worst = max(worst, float(abs(found - expected.numpy()).max() / expected.abs().max()))
    if not worst <= TOLERANCE:
        raise InternalError(f"onnxruntime differs from torch by {worst:.2g}, more than {TOLERANCE:g}")
    return data, worst
