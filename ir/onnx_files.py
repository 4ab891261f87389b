"""ONNX models from files, and the library that reads them, loaded when it is needed."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from ..common.errors import BadInput


def onnx_library() -> Any:
    """The module `onnx`.

    Raises:
        BadInput: it is not installed.
    """
    try:
        return import_module("onnx")
    except ImportError as error:
        raise BadInput("onnx is not installed, and ONNX models need it; install foveate[onnx]") from error


def load_onnx(path: str | os.PathLike[str]) -> Any:
    """The `onnx.ModelProto` in a file, without weights that are kept beside it.

    Raises:
        BadInput: there is no such file, or it is no ONNX model.
    """
    onnx = onnx_library()
    try:
        return onnx.load(os.fspath(path), load_external_data=False)
    except Exception as error:  # protobuf's own errors, and the file system's
        raise BadInput(f"{path} is no ONNX model that can be read: {error}") from error
