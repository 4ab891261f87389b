"""Dropping equals the unmodified model with the dropped tokens hidden, in prefill and at every decoding step."""

from __future__ import annotations

import pytest
import torch
from hidden_tokens import HiddenTokens, dropped_mask
from tiny import IMAGE_TOKEN, batch, tiny_llava

from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.runtime import apply

STEPS = 16
SITES = {"image.projector.output": 0, "decoder.layers.1": 1, "decoder.layers.3": 3}
BATCHES = {
    "one row": ([(1, 6)], "left"),
    "two images": ([(2, 5)], "left"),
    "padded left": ([(1, 4), (1, 9), (1, 6)], "left"),
    "padded right": ([(1, 4), (1, 9), (1, 6)], "right"),
    "ragged left": ([(1, 4), (3, 6), (2, 9), (1, 3)], "left"),
    "ragged right": ([(1, 4), (3, 6), (2, 9), (1, 3)], "right"),
}


def compare_step_by_step(model, plan, inputs, layers):
    """Largest difference between compressed and oracle logits over the prompt's last text token and every step."""
    steps = torch.randint(5, 60, (inputs["input_ids"].shape[0], STEPS), generator=torch.Generator().manual_seed(1))
    last = (inputs["attention_mask"] * torch.arange(1, inputs["attention_mask"].shape[1] + 1)).argmax(1)
    with torch.no_grad(), apply(model, plan) as handle:
        positions = inputs["attention_mask"].cumsum(1).sub(1).clamp(min=0)
        output = model(**inputs, position_ids=positions, use_cache=True)
        place = (handle.positions == last[:, None]).long().argmax(1)
        compressed = [output.logits[torch.arange(len(place)), place]]
        mask, cache = inputs["attention_mask"], output.past_key_values
        for step in range(STEPS):
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
            positions = mask.cumsum(1)[:, -1:] - 1
            output = model(
                input_ids=steps[:, step : step + 1], attention_mask=mask, position_ids=positions, past_key_values=cache
            )
            compressed.append(output.logits[:, -1])
        selections = dict(handle.selections)
    hidden = {layers[site]: dropped_mask(inputs, kept, image_token=IMAGE_TOKEN) for site, kept in selections.items()}
    oracle = HiddenTokens(model, hidden, inputs)
    with torch.no_grad():
        logits = oracle.forward(inputs["input_ids"], pixel_values=inputs["pixel_values"])
        expected = [logits[torch.arange(len(last)), last]]
        expected += [oracle.forward(steps[:, step : step + 1])[:, -1] for step in range(STEPS)]
    return max((a - b).abs().max().item() for a, b in zip(compressed, expected, strict=True))


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("rows", BATCHES)
@pytest.mark.parametrize("site", SITES)
def test_dropping_equals_hidden_tokens(site, rows, attention):
    shape, side = BATCHES[rows]
    model = tiny_llava(attention=attention)
    plan = Plan.of(Placement("random", site, 0.25))
    assert compare_step_by_step(model, plan, batch(shape, side=side), SITES) < 1e-5


@pytest.mark.parametrize("rows", BATCHES)
@pytest.mark.parametrize("methods", [("divprune", "fastv"), ("fastervlm", "random"), ("random", "divprune")])
def test_two_placements_compose(methods, rows):
    shape, side = BATCHES[rows]
    plan = Plan.of(
        Placement(methods[0], "image.projector.output", 0.5),
        Placement(methods[1], "decoder.layers.2", 0.5),
    )
    layers = {"image.projector.output": 0, "decoder.layers.2": 2}
    assert compare_step_by_step(tiny_llava(), plan, batch(shape, side=side), layers) < 1e-5


def test_three_levels_inside_the_stack():
    layers = {"image.projector.output": 0, "decoder.layers.1": 1, "decoder.layers.3": 3}
    plan = Plan.of(*(Placement("random", site, 0.5) for site in layers))
    assert compare_step_by_step(tiny_llava(decoder="llama"), plan, batch([(2, 5), (1, 7)]), layers) < 1e-5
