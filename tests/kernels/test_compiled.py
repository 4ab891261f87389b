"""Every kernel compiles for the GPUs that count, without one at hand, and keeps its values in registers."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Triton is for Linux")
SUPPORT = Path(__file__).parents[1] / "support"
# Kernels by the files that stand beside their torch references, without those that only hold parts.
KERNEL_FILES = sorted(Path(import_module("foveate.kernels").__path__[0]).glob("*_triton.py"))


def compiled(*arguments: str) -> list[dict[str, Any]]:
    """Compile in a process of its own, since the interpreter's flag changes what a kernel is."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["PYTHONPATH"] = str(SUPPORT)
    command = [sys.executable, str(SUPPORT / "compiled.py"), *arguments]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()]


def check(made: list[dict[str, Any]], targets: set[str]) -> None:
    assert {kernel["target"] for kernel in made} == targets
    assert [kernel for kernel in made if kernel["spilled"]] == []
    assert all(0 < kernel["registers"] <= 255 for kernel in made if kernel["target"] != "gfx942")


@pytest.mark.parametrize("target", ["sm_80", "sm_90", "gfx942"])
def test_every_kernel_compiles_without_spilling(target: str) -> None:
    made = compiled(target)
    check(made, {target})
    assert {kernel["kernel"] for kernel in made} == kernels_launched()


def kernels_launched() -> set[str]:
    """Names of all functions marked as Triton's whose programs ask which one they are."""
    return {
        name
        for path in KERNEL_FILES
        for name, kernel in vars(import_module(f"foveate.kernels.{path.stem}")).items()
        if hasattr(kernel, "arg_names") and "tl.program_id" in inspect.getsource(kernel.fn)
    }
