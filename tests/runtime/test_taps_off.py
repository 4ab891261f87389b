"""Plans that read attention in a model of two modalities leave no tap behind, nor tap a module twice."""

from __future__ import annotations

import pytest
from family_cases import BY_NAME

from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.runtime import apply
from foveate.runtime.reading import taps
from foveate.runtime.sites import attention_module


def tapped(model):
    return [len(taps._TAPS[module]) for module in model.modules() if module in taps._TAPS]


@pytest.mark.parametrize("method", ["fastv", "sparsevlm", "pact", "pyramiddrop"])
@pytest.mark.parametrize("name", ["qwen2_vl", "qwen2_vl-video", "qwen2_5_vl-video"])
def test_a_module_is_tapped_once_and_then_left_as_it_was(name, method):
    model = BY_NAME[name].build()
    layers = model.model.language_model.layers
    configs = [attention_module(layer).config for layer in layers]
    with apply(model, Plan.of(Placement(method, "decoder.layers.2", 0.5))):
        assert all(count == 1 for count in tapped(model))
    assert tapped(model) == []
    assert all(now is before for now, before in zip((attention_module(y).config for y in layers), configs, strict=True))
