"""Evicting cache entries equals the unmodified model with those entries hidden, head by head, in every later step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from evicted_entries import evicted, hiding_entries
from family_cases import BY_NAME
from layer_oracle import forced_logits
from live_families import FIRST_WORD, WORDS
from live_families import batch as family_batch
from tiny import IMAGE_TOKEN, batch, tiny_llava

from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.runtime import apply
from foveate.runtime.adapters import adapter_of
from foveate.runtime.ledger import ledger_of

STEPS = 16
METHODS: dict[str, dict[str, Any]] = {
    "h2o": {},
    "snapkv": {"window": 4},
    "pyramidkv": {"window": 4, "beta": 4},
    "knorm": {"skipped": 1},
    "random-kv": {},
    "streamingllm": {"sinks": 2, "reindex": False},
}
METHODS_EVICT_LATER = {"h2o": True, "streamingllm": True}
IN_SEQUENCE = [
    name
    for name, case in BY_NAME.items()
    if "decoder.cache" in adapter_of(case.build().config).sites(case.build().config)
]


def on_cache(method: str, keep: float = 0.5, **params: Any) -> Plan:
    return Plan.of(Placement(method, "decoder.cache", keep, params))


def answer(rows: int, steps: int = STEPS) -> torch.Tensor:
    return torch.randint(FIRST_WORD, WORDS, (rows, steps), generator=torch.Generator().manual_seed(1))


def expected_logits(model: Any, inputs: dict[str, torch.Tensor], held: Any, words: torch.Tensor) -> torch.Tensor:
    """The unmodified model's logits with everything that is not held hidden after the prompt."""
    gone = evicted(held, inputs["input_ids"].shape[1])
    with hiding_entries(adapter_of(model.config).decoder(model), gone):
        return forced_logits(model, inputs, words)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_in_batches_of_different_rows(method: str, side: str, attention: str) -> None:
    model, inputs = tiny_llava(attention=attention), batch([(1, 4), (2, 6), (1, 9)], side=side)
    with apply(model, on_cache(method, **METHODS[method])) as handle:
        found = forced_logits(model, inputs, answer(3))
        held = handle.cached
    text = (inputs["input_ids"] != IMAGE_TOKEN).sum(dim=1)
    for index in held.values():
        words = inputs["input_ids"][:, None].expand(-1, 2, -1).gather(2, index.clamp(min=0)) != IMAGE_TOKEN
        assert torch.equal((words & (index >= 0)).sum(dim=2), text[:, None].expand(-1, 2))
    assert (found - expected_logits(model, inputs, held, answer(3))).abs().max() < 1e-5


@pytest.mark.parametrize("name", IN_SEQUENCE)
def test_every_family(name: str) -> None:
    case = BY_NAME[name]
    model = case.build()
    inputs, _ = family_batch(case, rows=3)
    with apply(model, on_cache("random-kv")) as handle:
        found = forced_logits(model, inputs, answer(3))
        held = handle.cached
    assert held
    assert (found - expected_logits(model, inputs, held, answer(3))).abs().max() < 1e-5


def placed(handle: Any, rows: int) -> list[dict[int, list[list[int]]]]:
    """For each row, by layer and head, the places that it holds."""
    return [
        {
            layer: [[place for place in head if place >= 0] for head in index[row].tolist()]
            for layer, index in handle.cached.items()
        }
        for row in range(rows)
    ]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("method", METHODS)
def test_with_scope_all_rows_of_a_batch_are_as_alone(method: str, side: str) -> None:
    model, params = tiny_llava(decoder="llama"), {**METHODS[method], "scope": "all"}
    rows = [(1, 4), (2, 6)]
    inputs = batch(rows, side=side)
    with torch.no_grad(), apply(model, on_cache(method, **params)) as handle:
        model(**inputs)
        together = placed(handle, 2)
        for row, shape in enumerate(rows):
            alone = batch([shape], seed=row)
            length = alone["input_ids"].shape[1]
            first = int(inputs["attention_mask"][row].argmax())
            alone["pixel_values"] = inputs["pixel_values"][:1] if row == 0 else inputs["pixel_values"][1:]
            assert torch.equal(alone["input_ids"][0], inputs["input_ids"][row, first : first + length])
            model(**alone)
            shifted = {n: [[p + first for p in head] for head in heads] for n, heads in placed(handle, 1)[0].items()}
            assert shifted == together[row]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("method", METHODS)
def test_with_scope_all_every_step_sees_what_is_held(method: str, side: str) -> None:
    """The entries of each step are read before it; those methods that evict while decoding hold ever other ones."""
    model, inputs = tiny_llava(), batch([(1, 4), (2, 6)], side=side)
    words, params = answer(2, 8), {**METHODS[method], "scope": "all"}
    mask, holding, found = inputs["attention_mask"], [], []
    with torch.no_grad(), apply(model, on_cache(method, **params)):
        out = model(**inputs, position_ids=positions(mask), use_cache=True)
        for word in words.T:
            ledger = ledger_of(out.past_key_values)
            assert ledger is not None
            holding.append({layer: entries.places() for layer, entries in ledger.held.items()})
            mask = torch.cat([mask, mask.new_ones(2, 1)], dim=1)
            step = {"attention_mask": mask, "position_ids": positions(mask)[:, -1:]}
            out = model(word[:, None], **step, past_key_values=out.past_key_values, use_cache=True)
            found.append(out.logits[:, -1])
    decoder, mask = adapter_of(model.config).decoder(model), inputs["attention_mask"]
    with torch.no_grad():
        out = model(**inputs, position_ids=positions(mask), use_cache=True)
        for place, word in enumerate(words.T):
            since = mask.shape[1] if METHODS_EVICT_LATER.get(method) else inputs["input_ids"].shape[1]
            gone = evicted(holding[place], since)
            mask = torch.cat([mask, mask.new_ones(2, 1)], dim=1)
            step = {"attention_mask": mask, "position_ids": positions(mask)[:, -1:]}
            with hiding_entries(decoder, gone, past=mask.shape[1] - 1):
                out = model(word[:, None], **step, past_key_values=out.past_key_values, use_cache=True)
            assert (out.logits[:, -1] - found[place]).abs().max() < 1e-5


def positions(mask: torch.Tensor) -> torch.Tensor:
    return mask.cumsum(dim=1).sub(1).clamp(min=0)
