"""Models whose linear layers hold int8 weights run plans as others do."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from family_cases import BY_NAME
from layer_oracle import dropped_columns, forced_logits, hiding
from live_families import FIRST_WORD, WORDS, batch
from torch import nn

from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.runtime import apply
from foveate.runtime.adapters import adapter_of


class Int8Linear(nn.Module):
    """A linear layer with int8 weights and one scale for each output channel, as weight-only quantisers make them."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        scale = linear.weight.detach().abs().amax(dim=1, keepdim=True) / 127
        self.register_buffer("weight", (linear.weight.detach() / scale).round().to(torch.int8))
        self.register_buffer("scale", scale)
        self.bias = linear.bias
        self.in_features, self.out_features = linear.in_features, linear.out_features

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(states, self.weight.to(states.dtype) * self.scale, self.bias)


def quantised(model: Any) -> Any:
    """The same model with every linear layer of its decoder and encoder in int8."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Linear and name != "lm_head":
                setattr(module, name, Int8Linear(child))
    return model


@pytest.mark.parametrize("site", ["image.projector.output", "decoder.layers.2"])
@pytest.mark.parametrize("name", ["llava", "qwen2_5_vl"])
def test_dropping_equals_hidden_tokens(name, site):
    case = BY_NAME[name]
    model = quantised(case.build())
    inputs, where = batch(case, rows=2)
    answer = torch.randint(FIRST_WORD, WORDS, (2, 4), generator=torch.Generator().manual_seed(1))
    with apply(model, Plan.of(Placement("divprune", site, 0.5))) as handle:
        compressed = forced_logits(model, inputs, answer)
        kept = handle.selections[site]
    first = 2 if site.startswith("decoder") else 0
    with hiding(adapter_of(model.config).decoder(model), {first: dropped_columns(inputs, where, kept)}):
        expected = forced_logits(model, inputs, answer)
    assert (compressed - expected).abs().max() < 1e-5


def test_a_pass_that_reads_the_encoder_runs_on_int8_weights():
    case = BY_NAME["llava"]
    model = quantised(case.build())
    inputs, _ = batch(case, rows=2)
    with apply(model, Plan.of(Placement("fastervlm", "image.projector.output", 0.25))) as handle, torch.no_grad():
        model(**inputs)
        assert handle.selections["image.projector.output"].shape == (3, 4)
