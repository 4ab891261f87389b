"""Later turns, beams and decoding without a cache, against the unmodified model with the dropped tokens hidden."""

from __future__ import annotations

import pytest
import torch
from hidden_tokens import HiddenTokens, dropped_mask
from tiny import IMAGE_TOKEN, batch, tiny_llava

from foveate.common.errors import BadInput
from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.runtime import apply

LAYERS = {"image.projector.output": 0, "decoder.layers.2": 2}
PLANS = {
    "before the decoder": Plan.of(Placement("divprune", "image.projector.output", 0.25)),
    "inside the decoder": Plan.of(Placement("fastv", "decoder.layers.2", 0.25)),
    "both": Plan.of(Placement("fastervlm", "image.projector.output", 0.5), Placement("fastv", "decoder.layers.2", 0.5)),
}


def oracle(model, handle, inputs):
    hidden = {LAYERS[s]: dropped_mask(inputs, kept, image_token=IMAGE_TOKEN) for s, kept in handle.selections.items()}
    return HiddenTokens(model, hidden, inputs)


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_a_second_turn_through_a_manual_loop(plan):
    model, inputs = tiny_llava(), batch([(1, 4), (2, 7)])
    turn = torch.randint(5, 60, (2, 5), generator=torch.Generator().manual_seed(3))
    mask = inputs["attention_mask"]
    positions = mask.cumsum(1).sub(1).clamp(min=0)
    with torch.no_grad(), apply(model, plan) as handle:
        cache = model(**inputs, position_ids=positions, use_cache=True).past_key_values
        later = torch.cat([mask, mask.new_ones(2, 5)], dim=1)
        compressed = model(
            input_ids=turn,
            attention_mask=later,
            position_ids=later.cumsum(1)[:, -5:] - 1,
            past_key_values=cache,
        ).logits
    reference = oracle(model, handle, inputs)
    with torch.no_grad():
        reference.forward(inputs["input_ids"], pixel_values=inputs["pixel_values"])
        expected = reference.forward(turn)
    assert (compressed - expected).abs().max() < 1e-5


@pytest.mark.parametrize("with_mask", [True, False])
@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_a_second_turn_through_generate(plan, with_mask):
    model, inputs = tiny_llava(), batch([(1, 4)])
    options = {"do_sample": False, "eos_token_id": None, "return_dict_in_generate": True, "output_logits": True}
    if not with_mask:
        del inputs["attention_mask"]
    with torch.no_grad(), apply(model, plan) as handle:
        first = model.generate(**inputs, max_new_tokens=4, **options)
        question = torch.cat([first.sequences, torch.tensor([[9, 8, 7]])], dim=1)
        second = model.generate(input_ids=question, past_key_values=first.past_key_values, max_new_tokens=4, **options)
    reference = oracle(model, handle, batch([(1, 4)]))
    with torch.no_grad():
        step = reference.forward(batch([(1, 4)])["input_ids"], pixel_values=inputs["pixel_values"])
        new = second.sequences[:, inputs["input_ids"].shape[1] :]
        logits = [step[:, -1:], *(reference.forward(new[:, i : i + 1]) for i in range(new.shape[1] - 1))]
    expected = torch.cat(logits, dim=1)
    assert (torch.stack(first.logits, dim=1) - expected[:, :4]).abs().max() < 1e-5
    assert (torch.stack(second.logits, dim=1) - expected[:, 7:]).abs().max() < 1e-5


def test_a_second_turn_with_another_picture():
    model, first, second = tiny_llava(), batch([(1, 4)]), batch([(1, 6)], seed=9)
    both = {name: torch.cat([first[name], second[name]], dim=0 if name == "pixel_values" else 1) for name in first}
    plan = Plan.of(Placement("random", "image.projector.output", 0.5), Placement("random", "decoder.layers.2", 0.5))
    length = first["input_ids"].shape[1]
    with torch.no_grad(), apply(model, plan):
        together = model(**both).logits[:, -1]
        cache = model(**first, use_cache=True).past_key_values
        later = model(**{**second, "attention_mask": both["attention_mask"]}, past_key_values=cache).logits[:, -1]
    assert cache.get_seq_length() == 2 * length + 2
    assert (later - together).abs().max() < 1e-5


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_beams_follow_the_ledger(plan):
    model, rows = tiny_llava(), [(1, 4), (2, 7)]
    together = batch(rows)
    options = {"max_new_tokens": 8, "num_beams": 3, "do_sample": False, "eos_token_id": None}
    with torch.no_grad(), apply(model, plan):
        beams = model.generate(**together, **options)
        uncached = model.generate(**together, **options, use_cache=False)
    if "fastv" not in [p.method for p in plan.placements]:  # without a cache fastv reads another last token each step
        assert torch.equal(beams, uncached)
    assert beams.shape[0] == 2


def test_a_cache_filled_under_a_plan_cannot_go_on_without_it():
    model, inputs = tiny_llava(), batch([(1, 4)])
    with torch.no_grad():
        with apply(model, PLANS["both"]):
            cache = model(**inputs, use_cache=True).past_key_values
        with pytest.raises(BadInput, match="apply the plan"):
            model(input_ids=torch.tensor([[7]]), past_key_values=cache)


def test_a_cache_is_not_cropped_into_the_compressed_prompt():
    model, inputs = tiny_llava(), batch([(1, 4)])
    with torch.no_grad(), apply(model, PLANS["both"]):
        cache = model(**inputs, use_cache=True).past_key_values
        length = cache.get_seq_length()
        before = model(input_ids=torch.tensor([[7]]), past_key_values=cache).logits
        cache.crop(-1)
        assert cache.get_seq_length() == length
        assert torch.equal(model(input_ids=torch.tensor([[7]]), past_key_values=cache).logits, before)
        with pytest.raises(BadInput, match="cropped"):
            cache.crop(-8)
