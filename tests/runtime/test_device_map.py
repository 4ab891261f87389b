"""Models spread over devices by accelerate, weights partly on disk: its hooks and those of a plan compose."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from family_cases import BY_NAME
from layer_oracle import dropped_columns, forced_logits, hiding
from live_families import FIRST_WORD, WORDS, batch

from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.runtime import apply
from foveate.runtime.adapters import adapter_of

accelerate = pytest.importorskip("accelerate")

FAMILIES = ("llava", "qwen2_5_vl", "qwen3_vl", "gemma3", "qwen2_audio")


def spread(model: Any, folder: Any) -> Any:
    """Every second decoder layer and the head on disk, the rest on the CPU."""
    layers = {id(layer): number for number, layer in enumerate(adapter_of(model.config).decoder(model).layers)}
    places = {"": "cpu"}
    for name, module in model.named_modules():
        if layers.get(id(module), 0) % 2 or name == "lm_head":
            places[name] = "disk"
    return accelerate.dispatch_model(
        model, _leaves(model, places), main_device="cpu", offload_dir=str(folder), force_hooks=True
    )


def _leaves(model: Any, places: dict[str, str]) -> dict[str, str]:
    """A device for every module with weights of its own: that of the nearest place above it."""
    found = {}
    for name in model.state_dict():
        owner = name.rpartition(".")[0]
        above = max((place for place in places if not place or f"{owner}.".startswith(f"{place}.")), key=len)
        found[owner] = places[above]
    return found


def answer(rows: int) -> torch.Tensor:
    return torch.randint(FIRST_WORD, WORDS, (rows, 4), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("site", ["projector.output", "decoder.layers.2"])
@pytest.mark.parametrize("name", FAMILIES)
def test_dropping_in_a_dispatched_model_equals_hidden_tokens(name: str, site: str, tmp_path: Any) -> None:
    case = BY_NAME[name]
    whole = case.build()
    model = spread(copy.deepcopy(whole), tmp_path)
    assert any(parameter.is_meta for parameter in model.parameters())
    inputs, where = batch(case, rows=2)
    full = site if site.startswith("decoder") else f"{case.modality}.{site}"
    with apply(model, Plan.of(Placement("random", full, 0.5))) as handle:
        compressed = forced_logits(model, inputs, answer(2))
        kept = handle.selections[full]
    first = 2 if site.startswith("decoder") else 0
    with hiding(adapter_of(whole.config).decoder(whole), {first: dropped_columns(inputs, where, kept)}):
        expected = forced_logits(whole, inputs, answer(2))
    assert (compressed - expected).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("method", "site"),
    [("fastervlm", "image.projector.output"), ("fastv", "decoder.layers.2"), ("sparsevlm", "decoder.layers.2")],
)
def test_passes_that_read_signals_agree_with_the_model_in_one_place(method: str, site: str, tmp_path: Any) -> None:
    case = BY_NAME["llava"]
    inputs, _ = batch(case, rows=2)
    plan, found, whole = Plan.of(Placement(method, site, 0.25)), [], case.build()
    for model in (spread(copy.deepcopy(whole), tmp_path), whole):
        with apply(model, plan) as handle:
            found.append((forced_logits(model, inputs, answer(2)), handle.selections[site]))
    assert torch.equal(found[0][1], found[1][1])
    assert (found[0][0] - found[1][0]).abs().max() < 1e-6


def test_cpu_offload_and_a_plan_compose() -> None:
    case = BY_NAME["llava"]
    whole = case.build()
    model = accelerate.cpu_offload(copy.deepcopy(whole), execution_device="cpu")
    inputs, _ = batch(case, rows=2)
    plan = Plan.of(Placement("divprune", "image.projector.output", 0.5))
    with apply(model, plan), apply(whole, plan):
        assert torch.equal(forced_logits(model, inputs, answer(2)), forced_logits(whole, inputs, answer(2)))
    plain = forced_logits(whole, inputs, answer(2))
    assert torch.equal(forced_logits(model, inputs, answer(2)), plain)
