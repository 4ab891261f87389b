"""After removal, an exception or the end of the handle a model is as it was, whatever its family needed."""

from __future__ import annotations

import gc
from typing import Any

import pytest
import torch
from cross_models import mllama, mllama_inputs, sounds, whisper
from family_cases import BY_NAME
from live_families import batch
from model_state import state_of

from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.runtime import apply
from foveate.runtime.adapters import adapter_of

FAMILIES = (
    "llava",
    "qwen2_5_vl",
    "qwen3_vl",
    "gemma3",
    "llama4",
    "phi4_multimodal",
    "blip-2",
    "qwen3_omni",
    "qwen2_audio",
)
SIGNALS = Plan.of(Placement("fastervlm", "image.projector.output", 0.5), Placement("fastv", "decoder.layers.2", 0.5))


def plan_of(case: Any) -> Plan:
    places = (f"{case.modality}.projector.output", "decoder.layers.2")
    return Plan.of(*(Placement("random", place, 0.5) for place in places))


def settled(name: str) -> tuple[Any, dict[str, torch.Tensor], torch.Tensor]:
    """A model after its first call, in which transformers installs hooks of its own; inputs, and their logits."""
    case = BY_NAME[name]
    model = case.build()
    inputs, _ = batch(case, rows=2)
    with torch.no_grad():
        return model, inputs, model(**inputs).logits


def unchanged(model: Any, before: Any, inputs: dict[str, torch.Tensor], logits: torch.Tensor) -> None:
    assert state_of(model) == before
    with torch.no_grad():
        assert torch.equal(model(**inputs).logits, logits)


@pytest.mark.parametrize("name", FAMILIES)
def test_removing(name: str) -> None:
    model, inputs, logits = settled(name)
    before = state_of(model)
    handle = apply(model, plan_of(BY_NAME[name]))
    assert state_of(model) != before
    with torch.no_grad():
        assert not torch.equal(model(**inputs).logits, logits)
    handle.remove()
    unchanged(model, before, inputs, logits)


@pytest.mark.parametrize("name", FAMILIES)
def test_an_exception_in_the_middle_of_the_decoder(name: str) -> None:
    model, inputs, logits = settled(name)
    before = state_of(model)

    def fail(*_: Any) -> None:
        raise RuntimeError("planted")

    planted = adapter_of(model.config).decoder(model).layers[3].register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="planted"), apply(model, plan_of(BY_NAME[name])):
        model(**inputs)
    planted.remove()
    unchanged(model, before, inputs, logits)


@pytest.mark.parametrize("name", FAMILIES)
def test_dropping_the_handle(name: str) -> None:
    model, inputs, logits = settled(name)
    before = state_of(model)
    handle = apply(model, plan_of(BY_NAME[name]))
    with torch.no_grad():
        model(**inputs)
    del handle
    gc.collect()
    unchanged(model, before, inputs, logits)
    apply(model, plan_of(BY_NAME[name])).remove()


def test_dropping_the_handle_takes_taps_off() -> None:
    model, inputs, logits = settled("llava")
    before = state_of(model)
    handle = apply(model, SIGNALS)
    with torch.no_grad():
        model(**inputs)
    del handle
    gc.collect()
    unchanged(model, before, inputs, logits)


def test_a_cache_that_was_filled_under_a_plan_keeps_its_logical_length() -> None:
    model, inputs, logits = settled("llava")
    handle = apply(model, plan_of(BY_NAME["llava"]))
    with torch.no_grad():
        cache = model(**inputs, use_cache=True).past_key_values
    handle.remove()
    assert cache.get_seq_length() == logits.shape[1]


@pytest.mark.parametrize("end", ["remove", "exception", "drop"])
def test_models_that_read_media_by_cross_attention(end: str) -> None:
    for model, inputs, site in (
        (whisper(), sounds(2), "audio.encoder.output"),
        (mllama(), mllama_inputs(2), "image.projector.output"),
    ):
        with torch.no_grad():
            logits = model(**inputs).logits
        before = state_of(model)
        handle = apply(model, Plan.of(Placement("random", site, 0.5)))
        if end == "exception":
            with pytest.raises(RuntimeError, match="planted"), handle:
                raise RuntimeError("planted")
        elif end == "remove":
            handle.remove()
        del handle
        gc.collect()
        unchanged(model, before, inputs, logits)
