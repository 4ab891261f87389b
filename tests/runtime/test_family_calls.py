"""The ways of calling a model, on families that differ in masks, windows and positions: all give the same answers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from family_cases import BY_NAME
from layer_oracle import dropped_columns, forced_logits, hiding
from live_families import AUDIO, FIRST_WORD, IMAGE, VIDEO, WORDS, batch

from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.runtime import apply
from foveate.runtime.adapters import adapter_of

FAMILIES = (
    *("llava_next", "qwen2_5_vl", "qwen3_vl", "gemma3", "paligemma", "llama4", "phi4_multimodal", "qwen2_audio"),
    *("blip-2", "instructblip-llama", "qwen2_5_omni", "qwen3_omni-audio", "glm4v", "exaone4_5", "ovis2"),
)
GROWING = tuple(name for name in FAMILIES if name not in ("phi4_multimodal",))


def plan_of(case: Any, *sites: str) -> Plan:
    return Plan.of(*(Placement("random", s if s.startswith("decoder") else f"{case.modality}.{s}", 0.5) for s in sites))


def answer(rows: int, steps: int = 8, *, seed: int = 1) -> torch.Tensor:
    return torch.randint(FIRST_WORD, WORDS, (rows, steps), generator=torch.Generator().manual_seed(seed))


def hidden_by(model: Any, handle: Any, inputs: Any, where: Any) -> dict[int, torch.Tensor]:
    """What each site of a plan hid, by first layer."""
    found = {}
    for site, kept in handle.selections.items():
        first = int(site.rsplit(".", 1)[1]) if site.startswith("decoder") else 0
        found[first] = dropped_columns(inputs, where, kept)
    return found


@pytest.mark.parametrize("name", FAMILIES)
def test_eager_attention_agrees_with_sdpa(name):
    case = BY_NAME[name]
    model = case.build()
    inputs, _ = batch(case, rows=3)
    plan = plan_of(case, "projector.output", "decoder.layers.2")
    with apply(model, plan):
        expected = forced_logits(model, inputs, answer(3))
    model.set_attn_implementation("eager")
    with apply(model, plan):
        found = forced_logits(model, inputs, answer(3))
    assert (found - expected).abs().max() < 1e-5


@pytest.mark.parametrize("name", FAMILIES)
def test_two_levels_equal_hidden_tokens(name):
    case = BY_NAME[name]
    model = case.build()
    inputs, where = batch(case, rows=3)
    with apply(model, plan_of(case, "projector.output", "decoder.layers.1", "decoder.layers.2")) as handle:
        compressed = forced_logits(model, inputs, answer(3))
        hidden = hidden_by(model, handle, inputs, where)
    assert {0, 1} <= set(hidden)  # two tokens in four may be too few for a third cut
    with hiding(adapter_of(model.config).decoder(model), hidden):
        expected = forced_logits(model, inputs, answer(3))
    assert (compressed - expected).abs().max() < 1e-5


@pytest.mark.parametrize("name", FAMILIES)
def test_without_an_attention_mask(name):
    case = BY_NAME[name]
    model = case.build()
    inputs, where = batch(case, rows=1)
    bare = {name: value for name, value in inputs.items() if name != "attention_mask"}
    with apply(model, plan_of(case, "projector.output", "decoder.layers.2")) as handle, torch.no_grad():
        found = model(**bare).logits[:, -1]
        hidden = hidden_by(model, handle, inputs, where)
    with hiding(adapter_of(model.config).decoder(model), hidden), torch.no_grad():
        expected = model(**bare).logits[:, -1]
    assert (found - expected).abs().max() < 1e-5


@pytest.mark.parametrize("name", GROWING)
def test_a_static_cache_agrees_with_a_dynamic_one(name):
    case = BY_NAME[name]
    model = case.build()
    inputs, _ = batch(case, rows=3)
    for sites in (("projector.output",), ("decoder.layers.2",), ("projector.output", "decoder.layers.1")):
        with apply(model, plan_of(case, *sites)):
            expected = forced_logits(model, inputs, answer(3))
            found = forced_logits(model, inputs, answer(3), cache_implementation="static", disable_compile=True)
        assert (found - expected).abs().max() < 1e-5


@pytest.mark.parametrize("name", GROWING)
def test_without_a_cache(name):
    case = BY_NAME[name]
    model = case.build()
    inputs, _ = batch(case, rows=2)
    with apply(model, plan_of(case, "projector.output", "decoder.layers.2")):
        expected = forced_logits(model, inputs, answer(2))
        found = forced_logits(model, inputs, answer(2), use_cache=False)
    assert (found - expected).abs().max() < 1e-5


@pytest.mark.parametrize("name", [name for name in GROWING if name != "llama4"])  # transformers has no beams for it
def test_beams_follow_the_ledger(name):
    case = BY_NAME[name]
    model = case.build()
    inputs, _ = batch(case, rows=2)
    media = [IMAGE, VIDEO, AUDIO]  # without a cache, an answered placeholder would be taken for a picture
    options = {
        "max_new_tokens": 6,
        "num_beams": 3,
        "do_sample": False,
        "eos_token_id": None,
        "suppress_tokens": media,
    }
    with apply(model, plan_of(case, "projector.output", "decoder.layers.2")), torch.no_grad():
        cached = model.generate(**inputs, **options)
        uncached = model.generate(**inputs, **options, use_cache=False)
    assert torch.equal(cached, uncached)


@pytest.mark.parametrize("name", [name for name in FAMILIES if "blip" not in name])  # each call takes a picture
def test_a_second_turn_through_generate(name):
    """Both runs go on from their own caches; the oracle hides what the first prompt dropped in every call."""
    case = BY_NAME[name]
    model = case.build()
    inputs, where = batch(case, rows=1)
    with apply(model, plan_of(case, "projector.output", "decoder.layers.2")) as handle:
        compressed = turns(model, inputs)
        hidden = hidden_by(model, handle, inputs, where)
    with hiding(adapter_of(model.config).decoder(model), hidden):
        expected = turns(model, inputs)
    assert (compressed - expected).abs().max() < 1e-5


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("name", FAMILIES)
def test_four_rows_of_different_lengths_and_media_padded_on_either_side(name, side):
    """The last token of each row in the prefill, wherever it stands, then eight forced tokens through `generate`."""
    case = BY_NAME[name]
    model = case.build()
    inputs, where = batch(case, rows=4, side=side)
    last = (inputs["attention_mask"] * torch.arange(inputs["input_ids"].shape[1])).argmax(dim=1, keepdim=True)
    with apply(model, plan_of(case, "projector.output", "decoder.layers.2")) as handle, torch.no_grad():
        logits = model(**inputs).logits
        found = logits[handle.positions == last]
        steps = forced_logits(model, inputs, answer(4))
        hidden = hidden_by(model, handle, inputs, where)
    assert len(found) == 4
    with hiding(adapter_of(model.config).decoder(model), hidden), torch.no_grad():
        expected = model(**inputs).logits[torch.arange(4), last[:, 0]]
    with hiding(adapter_of(model.config).decoder(model), hidden):
        expected_steps = forced_logits(model, inputs, answer(4))
    assert (found - expected).abs().max() < 1e-5
    assert (steps[:, 1:] - expected_steps[:, 1:]).abs().max() < 1e-5


@pytest.mark.parametrize("name", [name for name in FAMILIES if "blip" not in name])
def test_a_second_turn_through_a_manual_loop(name):
    case = BY_NAME[name]
    model = case.build()
    inputs, where = batch(case, rows=1)

    def loop() -> torch.Tensor:
        with torch.no_grad():
            first = model(**inputs, use_cache=True)
            found, cache = [first.logits[:, -1:]], first.past_key_values
            for tokens in (answer(1, 5), *answer(1, 4, seed=2).split(1, dim=1)):
                found.append(model(input_ids=tokens, past_key_values=cache, use_cache=True).logits)
        return torch.cat(found, dim=1)

    with apply(model, plan_of(case, "projector.output", "decoder.layers.2")) as handle:
        compressed = loop()
        hidden = hidden_by(model, handle, inputs, where)
    with hiding(adapter_of(model.config).decoder(model), hidden):
        expected = loop()
    assert (compressed - expected).abs().max() < 1e-5


def turns(model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Logits of a first answer, and of a second one to a question that goes on from the same cache."""
    first = answer(1)
    options = {"do_sample": False, "eos_token_id": None, "return_dict_in_generate": True, "output_logits": True}
    from layer_oracle import Forced
    from transformers import LogitsProcessorList

    def run(ids: torch.Tensor, forced: torch.Tensor, **given: Any) -> Any:
        processor = LogitsProcessorList([Forced(forced, ids.shape[1])])
        with torch.no_grad():
            return model.generate(
                input_ids=ids, max_new_tokens=forced.shape[1], logits_processor=processor, **options, **given
            )

    given = {name: value for name, value in inputs.items() if name != "input_ids"}
    one = run(inputs["input_ids"], first, **given)
    ids = torch.cat([one.sequences, torch.tensor([[FIRST_WORD, FIRST_WORD + 1, FIRST_WORD + 2]])], dim=1)
    two = run(ids, answer(1, seed=2), past_key_values=one.past_key_values, attention_mask=torch.ones_like(ids))
    return torch.cat([torch.stack(one.logits, dim=1), torch.stack(two.logits, dim=1)], dim=1)
