"""The commands for a GPU run from end to end at toy size in Triton's interpreter."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from foveate.common.validation import validate
from foveate.kernels.tuning import DEFAULT, TuningTable, table

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
pytestmark = pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="on a GPU they run at full size")


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    # Its helpers lie beside it, which the safe path would hide.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    command = [sys.executable, str(BENCHMARKS / script), *map(str, arguments)]
    return subprocess.run(command, check=True, env=environment, timeout=280, capture_output=True, text=True)


@pytest.mark.slow
def test_every_kernel_and_both_models_are_compared(tmp_path: Path) -> None:
    run("gpu.py", "--quick", "--json", tmp_path / "figures.json")
    figures: dict[str, Any] = json.loads((tmp_path / "figures.json").read_text())["figures"]
    launchers = {path.stem for path in (BENCHMARKS.parent / "kernels").glob("*_triton.py")}
    parts = {"ranking_triton", "scores_triton", "similarity_triton"}
    assert len(figures["kernels"]) >= len(launchers - parts)
    assert all(kernel["equal"] for kernel in figures["kernels"])
    assert [found["model"] for found in figures["models"]] == ["LLaVA-1.5-7B", "Qwen2.5-VL-7B"]
    for found in figures["models"]:
        assert set(found["seconds"]) == {"plain", "eager", "library", "emitted", "native"}


@pytest.mark.slow
def test_tuning_writes_a_table_of_what_was_measured(tmp_path: Path) -> None:
    run("tune_kernels.py", "--only", "top_k", "--only", "token_norm", "--output", tmp_path / "table.yaml")
    found = validate(TuningTable, tmp_path / "table.yaml")
    assert (found.device, found.provenance) == ("interpreter", "measured")
    assert set(found.kernels) == {"select_top_k", "sum_squares"}
    assert found.options("select_top_k", 8192) == table(DEFAULT).options("select_top_k", 8192)
