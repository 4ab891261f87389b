"""From a module to an ONNX model whose number of media is free, by torch's exporter."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from ...common.errors import BadInput
from .translations import translations

if TYPE_CHECKING:
    from .compressed_encoder import CompressedEncoder

_OUTPUTS = ("features", "index")


def several(features: torch.Tensor, count: int) -> torch.Tensor:
    """`count` media, different from each other."""
    return torch.cat([features[:1] * (1.0 - 0.1 * number) for number in range(count)])


def recorded_model(encoder: CompressedEncoder, features: torch.Tensor, opset: int) -> Any:
    """The ONNX model (a `ModelProto`), its first dimension free.

    Raises:
        BadInput: torch cannot trace this encoder or one of the passes.
    """
    try:
        with _quiet():
            media = ({0: torch.export.Dim.DYNAMIC},)
            recorded = torch.export.export(encoder, (features,), dynamic_shapes=media, strict=False)
            program = torch.onnx.export(
                recorded,
                dynamo=True,
                input_names=[encoder.name],
                output_names=list(_OUTPUTS),
                opset_version=opset,
                custom_translation_table=translations(),
                verbose=False,
            )
    except Exception as error:  # the exporter wraps whatever goes wrong in many kinds of its own
        reason = (str(error.__cause__ or error).strip().splitlines() or [type(error).__name__])[0]
        kind = type(encoder.model).__name__
        raise BadInput(
            f"torch cannot export the {encoder.modality} encoder of {kind} with this plan: {reason}"
        ) from error
    assert program is not None
    return program.model_proto


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's remarks about libraries that are not needed, and its use of what Python deprecates."""
    logs = [logging.getLogger(name) for name in ("torch.onnx", "onnx_ir")]
    before = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for log, level in zip(logs, before, strict=True):
            log.setLevel(level)
