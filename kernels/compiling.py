"""Compiling what the launchers launch, without a GPU: meta tensors go in, launches are noted down and compiled.

Only for a process without TRITON_INTERPRET, whose flag changes what a kernel is.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.jit import JITFunction

from ..common.errors import BadInput

_TYPES = {
    torch.float32: "fp32",
    torch.bfloat16: "bf16",
    torch.float16: "fp16",
    torch.int64: "i64",
    torch.int32: "i32",
    torch.uint8: "u8",
    torch.int8: "i8",
    torch.bool: "i1",
}
_OPTIONS = ("num_warps", "num_stages")
_DIVISIBLE = [["tt.divisibility", 16]]


@dataclass(frozen=True)
class Launch:
    """One launch: the kernel, the types of its arguments, what is known of them when compiling, options and grid."""

    kernel: JITFunction
    signature: dict[str, str]
    constants: dict[str, Any]
    aligned: tuple[int, ...]
    options: dict[str, int]
    grid: tuple[int, ...]


@dataclass(frozen=True)
class Binary:
    """A launch compiled for one target.

    Attributes:
        kernel: name of the kernel. suffix: `cubin` or `hsaco`, what `code` is.
        registers: of a thread. spilled: bytes of a thread that registers did not hold. shared: bytes of a program.
    """

    kernel: str
    suffix: str
    code: bytes
    registers: int
    spilled: int
    shared: int


def target(name: str) -> GPUTarget:
    """The target called `cuda:90` (compute capability 9.0) or `hip:gfx942`.

    Raises:
        BadInput: it is neither.
    """
    backend, _, architecture = name.partition(":")
    if backend == "cuda" and re.fullmatch(r"\d{2,3}", architecture):
        return GPUTarget("cuda", int(architecture), 32)
    if backend == "hip" and re.fullmatch(r"gfx[0-9a-f]{3,4}", architecture):
        return GPUTarget("hip", architecture, 64 if architecture.startswith("gfx9") else 32)
    raise BadInput(f"{name!r} is no target; write cuda: and the compute capability, as in cuda:90, or as hip:gfx942.")


@contextmanager
def recorded() -> Iterator[list[Launch]]:
    """Launches inside the block are noted down and not run."""
    launches: list[Launch] = []
    original = JITFunction.run

    def note(self: JITFunction, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> None:
        launches.append(_described(self, args, kwargs, grid))

    JITFunction.run = note
    try:
        yield launches
    finally:
        JITFunction.run = original


def compiled(launch: Launch, name: str) -> Binary:
    """Compile one launch for the target called `name`; resources are what the target's own tools report.

    Raises:
        BadInput: as `target`.
    """
    aligned = {(place,): _DIVISIBLE for place in launch.aligned}
    source = ASTSource(launch.kernel, launch.signature, launch.constants, aligned)
    made = triton.compile(source, target=target(name), options=launch.options)
    suffix = "hsaco" if "hsaco" in made.asm else "cubin"
    registers, spilled = _of_amdgcn(made.asm["amdgcn"]) if suffix == "hsaco" else _of_cubin(made.asm["cubin"])
    return Binary(launch.kernel.__name__, suffix, made.asm[suffix], registers, spilled, made.metadata.shared)


def _described(kernel: JITFunction, args: tuple[Any, ...], kwargs: dict[str, Any], grid: Any) -> Launch:
    """What Triton would specialise on: constants, None and 1 are compiled in, multiples of 16 are known to be such."""
    given = dict(zip(kernel.arg_names, args, strict=False)) | kwargs
    options = {name: given.pop(name) for name in _OPTIONS if name in given}
    signature, constants, aligned = {}, {}, []
    for place, parameter in enumerate(kernel.params):
        value = given[parameter.name]
        if parameter.is_constexpr or value is None or (type(value) is int and value == 1):
            signature[parameter.name], constants[parameter.name] = "constexpr", value
        elif isinstance(value, torch.Tensor):
            signature[parameter.name] = "*" + _TYPES[value.dtype]
            aligned.append(place)
        elif isinstance(value, float):
            signature[parameter.name] = "fp32"
        else:
            signature[parameter.name] = "i32" if abs(value) < 2**31 else "i64"
            aligned += [place] * (value % 16 == 0)
    return Launch(kernel, signature, constants, tuple(aligned), options, tuple(grid))


def _of_cubin(cubin: bytes) -> tuple[int, int]:
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        told = subprocess.run([tool, "--dump-resource-usage", file.name], capture_output=True, text=True, check=True)
    numbers = dict(re.findall(r"(REG|STACK|LOCAL):(\d+)", told.stdout))
    return int(numbers["REG"]), int(numbers["STACK"]) + int(numbers["LOCAL"])


def _of_amdgcn(assembly: str) -> tuple[int, int]:
    numbers = {name: int(value) for name, value in re.findall(r"\.(\w+):\s+(\d+)\n", assembly)}
    return numbers["vgpr_count"], numbers["private_segment_fixed_size"]
