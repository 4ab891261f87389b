"""Compile what the launchers launch, without a GPU: meta tensors go in, launches are recorded and compiled.

Run as a script in a process of its own (the interpreter's flag changes what a kernel is). Prints one JSON object a
line: kernel, target, registers and spilled bytes.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.jit import JITFunction

TARGETS = {
    "sm_80": GPUTarget("cuda", 80, 32),
    "sm_90": GPUTarget("cuda", 90, 32),
    "gfx942": GPUTarget("hip", "gfx942", 64),
}
TYPES = {
    torch.float32: "fp32",
    torch.bfloat16: "bf16",
    torch.float16: "fp16",
    torch.int64: "i64",
    torch.int32: "i32",
    torch.uint8: "u8",
    torch.int8: "i8",
    torch.bool: "i1",
}
OPTIONS = ("num_warps", "num_stages")
DIVISIBLE = [["tt.divisibility", 16]]


@dataclass(frozen=True)
class Launch:
    """One launch: the kernel, the types of its arguments, what is known of them when compiling, and its options."""

    kernel: JITFunction
    signature: dict[str, str]
    constants: dict[str, Any]
    aligned: tuple[int, ...]
    options: dict[str, int]

    def source(self) -> ASTSource:
        return ASTSource(self.kernel, self.signature, self.constants, {(i,): DIVISIBLE for i in self.aligned})


@contextmanager
def recorded() -> Iterator[list[Launch]]:
    """Launches inside the block are noted down and not run."""
    launches: list[Launch] = []
    original = JITFunction.run

    def note(self: JITFunction, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> None:
        launches.append(described(self, args, kwargs))

    JITFunction.run = note
    try:
        yield launches
    finally:
        JITFunction.run = original


def described(kernel: JITFunction, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Launch:
    """What Triton would specialise on: constants, None and 1 are compiled in, multiples of 16 are known to be such."""
    given = dict(zip(kernel.arg_names, args, strict=False)) | kwargs
    options = {name: given.pop(name) for name in OPTIONS if name in given}
    signature, constants, aligned = {}, {}, []
    for place, parameter in enumerate(kernel.params):
        value = given[parameter.name]
        if parameter.is_constexpr or value is None or (type(value) is int and value == 1):
            signature[parameter.name], constants[parameter.name] = "constexpr", value
        elif isinstance(value, torch.Tensor):
            signature[parameter.name] = "*" + TYPES[value.dtype]
            aligned.append(place)
        elif isinstance(value, float):
            signature[parameter.name] = "fp32"
        else:
            signature[parameter.name] = "i32" if abs(value) < 2**31 else "i64"
            aligned += [place] * (value % 16 == 0)
    return Launch(kernel, signature, constants, tuple(aligned), options)


def compiled(launch: Launch, target: str) -> dict[str, Any]:
    """Compile one launch; registers of a thread and bytes spilled, as the target's own tools report them."""
    made = triton.compile(launch.source(), target=TARGETS[target], options=launch.options)
    registers, spilled = _of_amdgcn(made.asm["amdgcn"]) if "amdgcn" in made.asm else _of_cubin(made.asm["cubin"])
    return {"kernel": launch.kernel.__name__, "target": target, "registers": registers, "spilled": spilled}


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


def main(cases: dict[str, Callable[[], object]], targets: list[str]) -> None:
    """Record every case, compile each different launch for each target, print what came of it."""
    for name, case in cases.items():
        with recorded() as launches:
            case()
        for launch in launches:
            for target in targets:
                print(json.dumps({"case": name, **compiled(launch, target)}), flush=True)


if __name__ == "__main__":
    from launches import CASES

    chosen = [target for target in TARGETS if target in sys.argv[1:]] or list(TARGETS)
    wanted = {name: case for name, case in CASES.items() if name in sys.argv[1:]} or CASES
    main(wanted, chosen)
