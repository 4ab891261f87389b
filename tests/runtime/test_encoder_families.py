"""Sites inside the encoders of every family that has them: exact dropping, bit-identity and selections."""

from __future__ import annotations

import pytest
import torch
from encoder_cases import CASES, POINTS, answer, encoder_shape, flow_of, plan, seen_tokens
from encoder_oracle import hidden_in_encoder
from layer_oracle import dropped_columns, forced_logits, hiding
from live_families import batch

from foveate.ir.encoder_sites import ENCODER_SITES
from foveate.ir.site import Site
from foveate.runtime import apply
from foveate.runtime.adapters import adapter_of


@pytest.mark.parametrize(("name", "site"), POINTS)
def test_dropping_equals_the_encoder_on_what_remains(name: str, site: str) -> None:
    """The oracle hides the dropped tokens from the encoder's attention, then from the decoder's."""
    case = CASES[name]
    model = case.build()
    inputs, where = batch(case, rows=3)
    shape = encoder_shape(case, model, inputs)
    with apply(model, plan(case, site)) as handle:
        compressed = forced_logits(model, inputs, answer())
        kept = handle.selections[f"{case.modality}.{site}"]
    place = Site.parse(f"{case.modality}.{site}")
    first = 99 if place.layer is None else place.layer + (place.kind == "encoder.layer.mid")
    seen = seen_tokens(case, model, inputs, kept, shape)
    assert 0 < (~seen).sum() < seen.numel()
    columns = dropped_columns(inputs, where, kept)
    with (
        hidden_in_encoder(flow_of(case, model).layers, first, seen),
        hiding(adapter_of(model.config).decoder(model), {0: columns}),
    ):
        expected = forced_logits(model, inputs, answer())
    assert (compressed - expected).abs().max() < 1e-5


@pytest.mark.parametrize(("name", "site"), POINTS)
def test_keeping_everything_is_bit_identical(name: str, site: str) -> None:
    case = CASES[name]
    model = case.build()
    inputs, _ = batch(case, rows=3)
    plain = forced_logits(model, inputs, answer())
    for forced in (False, True):
        with apply(model, plan(case, site, 1.0), force_compaction=forced):
            assert torch.equal(forced_logits(model, inputs, answer()), plain)
    assert torch.equal(forced_logits(model, inputs, answer()), plain)


@pytest.mark.parametrize("name", CASES)
def test_selections_are_sorted_units_of_the_right_count(name: str) -> None:
    case = CASES[name]
    model = case.build()
    inputs, where = batch(case, rows=3)
    site = f"{case.modality}.encoder.output"
    with apply(model, plan(case, "encoder.output")) as handle:
        forced_logits(model, inputs, answer(steps=1))
        kept = handle.selections[site]
    assert len(kept) == len(where)
    for (_, places), row in zip(where, kept.tolist(), strict=True):
        chosen = [unit for unit in row if unit >= 0]
        assert chosen == sorted(set(chosen))
        assert len(chosen) == max(1, int(0.5 * len(places) + 0.5))
        assert set(chosen) <= set(range(len(places)))


def test_every_family_of_the_table_is_here() -> None:
    others = {("whisper", "audio"), ("qwen3_vl_moe", "video")}  # tests of their own; the code of qwen3_vl
    assert {(case.name.split("-")[0], case.modality) for case in CASES.values()} == set(ENCODER_SITES) - others
