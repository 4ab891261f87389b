"""Signals of packed encoders equal the eager attention maps of the unmodified encoder, gathered by token and medium."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from family_cases import BY_NAME
from live_families import batch
from transformers.vision_utils import get_vision_window_index

from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.ir.signal import encoder_key, received
from foveate.passes import REGISTRY, Compression, Pass, register
from foveate.runtime import apply

QWEN = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")
FAMILIES = (*QWEN, *(f"{name}-video" for name in QWEN), "video_llama_3")
NEEDS = (received("encoder"), encoder_key())


@pytest.fixture(autouse=True)
def probe():
    """A pass that reads attention columns and keys of the encoder's last layer and keeps the first tokens."""

    @register
    @dataclass(frozen=True)
    class Probe(Pass):
        name = "packed-probe"
        source = summary = mechanism = "test"
        seen: ClassVar[list] = []

        def needs(self, layout):
            return NEEDS

        def ops(self, layout, width):
            return ()

        def compress(self, tokens, target):
            Probe.seen.append([tokens.signal(need) for need in NEEDS])
            return Compression(torch.arange(target.count).expand(len(tokens.features), -1))

    Probe.seen.clear()
    yield Probe
    REGISTRY._items.pop("packed-probe")


def attention_maps(model, run) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """(weights, keys) of every call of the last vision attention, under transformers' own eager attention."""
    visual = model.model.get_encoder(modality="image")
    attention = next(m for m in reversed(list(visual.modules())) if type(m).__name__.endswith("Attention"))
    module = sys.modules[type(attention).__module__]
    original, found = module.eager_attention_forward, []

    def recorded(owner, query, key, *args, **kwargs):
        output, weights = original(owner, query, key, *args, **kwargs)
        if owner is attention:
            found.append((weights, key))
        return output, weights

    module.eager_attention_forward = recorded
    attention.config._attn_implementation = "eager"
    try:
        run()
    finally:
        module.eager_attention_forward = original
        attention.config._attn_implementation = "sdpa"
    return found


@pytest.mark.parametrize("name", FAMILIES)
def test_signals_of_packed_encoders(name, probe):
    case = BY_NAME[name]
    model = case.build()
    inputs, where = batch(case, rows=3)
    with torch.no_grad():
        maps = attention_maps(model, lambda: model(**inputs))
        with apply(model, Plan.of(Placement("packed-probe", f"{case.modality}.projector.output", 0.5))):
            model(**inputs)
    columns = by_token(torch.cat([weights.mean(dim=(0, 1, 2)) for weights, _ in maps]), model, inputs, case)
    keys = by_token(torch.cat([key[0].transpose(0, 1) for _, key in maps]), model, inputs, case)
    sizes = [len(places) for _, places in where]
    expected = list(zip(columns.split(sizes), keys.split(sizes), strict=True))
    got = {columns.shape[1]: [] for columns, _ in probe.seen}
    for column, key in probe.seen:  # one call for each size of medium
        got[column.shape[1]] += list(zip(column, key, strict=True))
    for column, key in expected:
        found_column, found_key = got[len(column)].pop(0)
        torch.testing.assert_close(found_column, column, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(found_key, key, rtol=1e-4, atol=1e-5)


def by_token(patches: torch.Tensor, model, inputs, case) -> torch.Tensor:
    """Means over the four patches of each token, in reading order: windows are undone."""
    tokens = patches.unflatten(0, (-1, 4)).mean(dim=1)
    visual = model.model.get_encoder(modality="image")
    if not hasattr(visual, "fullatt_block_indexes"):
        return tokens
    grid = inputs[f"{case.modality}_grid_thw"]
    index, _ = get_vision_window_index(grid, spatial_merge_size=2, window_size=visual.window_size, patch_size=14)
    assert index.tolist() != sorted(index.tolist())  # or the windows would not be tested
    reading = torch.empty_like(tokens)
    reading[index] = tokens
    return reading


def test_beams_and_reused_outputs(probe):
    case = BY_NAME["qwen2_vl"]
    model = case.build()
    inputs, _ = batch(case, rows=2)
    with torch.no_grad(), apply(model, Plan.of(Placement("packed-probe", "image.projector.output", 0.5))):
        model(**inputs)
        once = probe.seen.copy()
        probe.seen.clear()
        model.generate(**inputs, num_beams=2, max_new_tokens=2, do_sample=False)
    for (column, key), (first, second) in zip(probe.seen, once, strict=True):
        torch.testing.assert_close(column, first.repeat_interleave(len(column) // len(first), 0))
        torch.testing.assert_close(key, second.repeat_interleave(len(key) // len(second), 0))


def test_tiles_are_refused_with_the_reason(probe):
    from foveate.common.errors import BadInput

    case = BY_NAME["llava_next"]
    model = case.build()
    inputs, _ = batch(case, rows=2)
    plan = Plan.of(Placement("packed-probe", "image.projector.output", 0.5))
    with torch.no_grad(), apply(model, plan), pytest.raises(BadInput, match="takes a medium in parts"):
        model(**inputs)
