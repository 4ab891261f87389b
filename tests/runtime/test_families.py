"""Every family: keeping everything changes nothing, and dropping equals hiding the dropped tokens, step by step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from family_cases import BY_NAME
from layer_oracle import dropped_columns, forced_logits, hiding
from live_families import FIRST_WORD, WORDS, batch

from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.ir.site import Site
from foveate.passes import REGISTRY
from foveate.runtime import apply
from foveate.runtime.adapters import adapter_of
from foveate.runtime.media import media_groups
from foveate.runtime.support import supported_sites

STEPS = 16


def answer(rows: int, steps: int = STEPS) -> torch.Tensor:
    return torch.randint(FIRST_WORD, WORDS, (rows, steps), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", BY_NAME)
def test_media_tokens_are_found_where_the_processor_puts_them(name):
    case = BY_NAME[name]
    model = case.build()
    inputs, where = batch(case, rows=3)
    length = inputs["input_ids"].shape[1]
    adapter = adapter_of(model.config)
    groups = media_groups(adapter, model.config, adapter.media(model.config, inputs), inputs["input_ids"])
    found = sorted(row.tolist() for group in groups for row in group.positions)
    assert found == sorted([row * length + place for place in places] for row, places in where)


@pytest.mark.parametrize("site", ["projector.output", "decoder.layers.1", "decoder.layers.3"])
@pytest.mark.parametrize("name", BY_NAME)
def test_dropping_equals_hidden_tokens(name, site):
    case = BY_NAME[name]
    model = case.build()
    inputs, where = batch(case, rows=3)
    full = f"{case.modality}.{site}" if site.startswith("projector") else site
    with apply(model, Plan.of(Placement("random", full, 0.5))) as handle:
        compressed = forced_logits(model, inputs, answer(3))
        kept = handle.selections[full]
    first = 0 if site.startswith("projector") else int(site[-1])
    with hiding(adapter_of(model.config).decoder(model), {first: dropped_columns(inputs, where, kept)}):
        expected = forced_logits(model, inputs, answer(3))
    assert (compressed - expected).abs().max() < 1e-5


def everywhere(model: Any, modality: str) -> Plan:
    """A plan that keeps everything at every site of a modality that a plain selection can act at."""
    kinds = REGISTRY.get("random").sites
    offered = [site for site in supported_sites(model.config) if Site.parse(site).kind in kinds]
    mine = [site for site in offered if site.startswith((f"{modality}.", "decoder."))]
    assert {f"{modality}.projector.output", "decoder.layers.1", "decoder.layers.3"} <= set(mine)
    return Plan.of(*(Placement("random", site, 1.0) for site in mine))


@pytest.mark.parametrize("name", BY_NAME)
def test_keeping_everything_at_every_site_is_bit_identical(name):
    """The prompt's logits and those of 32 forced steps, short-circuited and with the compaction forced at all sites."""
    case = BY_NAME[name]
    model = case.build()
    inputs, _ = batch(case)
    plain = forced_logits(model, inputs, answer(2, 32))
    for forced in (False, True):
        with apply(model, everywhere(model, case.modality), force_compaction=forced):
            assert torch.equal(forced_logits(model, inputs, answer(2, 32)), plain)
