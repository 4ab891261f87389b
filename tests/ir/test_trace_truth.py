"""Graphs of many families against small models that really run: the same token counts at every stage boundary."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from families import real_arguments, real_model, small_config
from torch import nn

from foveate.ir.families.row import Row
from foveate.ir.families.table import row_of
from foveate.ir.tracing import default_workload, trace

FAMILIES = [
    *("aya_vision", "blip-2", "cohere2_vision", "deepseek_vl", "florence2", "fuyu", "gemma3", "git", "glm4v"),
    *("got_ocr2", "idefics2", "idefics3", "internvl", "janus", "lfm2_vl", "lighton_ocr", "llava", "llava_next"),
    *("llava_onevision", "mistral3", "paligemma", "qwen2_5_vl", "qwen2_audio", "qwen2_vl"),
    *("qwen3_vl", "smolvlm", "video_llava", "vision-encoder-decoder", "voxtral", "ovis2", "instructblip"),
    "phi4_multimodal",
]


def first_tensor(output: Any) -> torch.Tensor:
    """The first tensor of numbers in what a module returns."""
    if isinstance(output, torch.Tensor):
        return output
    values = output.values() if hasattr(output, "values") else output
    return next(v for v in values if isinstance(v, torch.Tensor) and v.is_floating_point())


@contextmanager
def outputs_of(model: nn.Module, roots: dict[str, list[str]]) -> Iterator[dict[str, int]]:
    """Token rows in the output of each stage's modules, summed over the calls of one forward."""
    rows: dict[str, int] = {}

    def note(stage: str, output: Any) -> None:
        tensor = first_tensor(output)
        rows[stage] = rows.get(stage, 0) + math.prod(tensor.shape[:-1])

    handles = [
        model.get_submodule(name).register_forward_hook(lambda _, __, out, stage=stage: note(stage, out))
        for stage, names in roots.items()
        for name in names
    ]
    try:
        yield rows
    finally:
        for handle in handles:
            handle.remove()


def watched(row: Row, model: nn.Module, modality: str) -> dict[str, list[str]]:
    """The modules whose outputs are stage boundaries."""
    return {stage: names for stage, names in row.roots(model, modality).items() if len(names) == 1}


@pytest.mark.parametrize("model_type", FAMILIES)
def test_token_counts_are_those_of_a_real_run(model_type: str) -> None:
    config = small_config(model_type)
    row, model = row_of(config), real_model(config)
    modality = row.modalities(model)[0]
    workload = default_workload(row, (modality,))
    graph = trace(config, workload)
    with outputs_of(model, watched(row, model, modality)) as rows, torch.no_grad():
        model(**real_arguments(row, model, workload))
    assert rows
    for stage, count in rows.items():
        found = graph.stage(stage)
        assert found.sequences * found.tokens_out == count, stage
