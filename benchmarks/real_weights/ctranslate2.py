"""Reading the weights of a CTranslate2 model file."""

from __future__ import annotations

import struct
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

_DTYPES = (np.float32, np.int8, np.int16, np.int32, np.float16)


def read_weights(file: BinaryIO) -> dict[str, NDArray[np.generic]]:
    """Every variable of a `model.bin` of binary version 4 to 6 by its name, aliases included.

    After a header (version, name of the specification, its revision) come the variables, each with its name, rank,
    dimensions, type and bytes, then pairs of names that are aliases. Numbers are little-endian.
    """
    _number(file, "I"), _text(file), _number(file, "I")
    found: dict[str, NDArray[np.generic]] = {}
    for _ in range(_number(file, "I")):
        name, rank = _text(file), _number(file, "B")
        shape = [_number(file, "I") for _ in range(rank)]
        dtype = _DTYPES[_number(file, "B")]
        found[name] = np.frombuffer(file.read(_number(file, "I")), dtype).reshape(shape)
    for _ in range(_number(file, "I")):
        alias, name = _text(file), _text(file)
        found[alias] = found[name]
    return found


def _number(file: BinaryIO, code: str) -> int:
    return int(struct.unpack(f"<{code}", file.read(struct.calcsize(f"<{code}")))[0])


def _text(file: BinaryIO) -> str:
    return file.read(_number(file, "H")).rstrip(b"\0").decode()
