"""The one command that judges the cost model on a GPU runs from end to end, at toy size where there is none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from foveate.cost_models import load_profile

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "gpu_cost_model.py"


@pytest.mark.slow
def test_the_gpu_benchmark_runs_at_toy_size(tmp_path: Path) -> None:
    figures, profile = tmp_path / "figures.json", tmp_path / "device.yaml"
    # Its helpers lie beside it, which the safe path would hide; without a visible GPU it takes the toy towers.
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    environment.pop("PYTHONSAFEPATH", None)
    command = [sys.executable, str(BENCHMARK), "--quick", "--json", str(figures), "--output", str(profile)]
    subprocess.run(command, check=True, env=environment, timeout=600, capture_output=True)
    rows = json.loads(figures.read_text(encoding="utf-8"))["figures"]["rows"]
    assert {row["model"] for row in rows} == {"LLaVA-1.5-7B", "Qwen2.5-VL-7B"}
    for row in rows:
        assert set(row["measured"]) == {"encoder", "decoder", "ttft", "decode"}
        assert all(value > 0 for kind in ("predicted", "generic", "measured") for value in row[kind].values())
    assert load_profile(profile).peak("bf16") > 0
