"""Whisper's encoder between attention and MLP, against the encoder with the dropped positions hidden."""

from __future__ import annotations

import pytest
import torch
from cross_models import sounds, whisper
from encoder_oracle import hidden_in_encoder
from transformers import WhisperConfig

from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.ir.site import Site
from foveate.ir.tracing import trace
from foveate.runtime import apply, resolve
from foveate.runtime.adapters import adapter_of


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_dropping_between_attention_and_mlp(layer: int) -> None:
    model, inputs = whisper(), sounds(3)
    site = f"audio.encoder.layers.{layer}.mid"
    features, encoder = inputs["input_features"], model.get_encoder()
    with apply(model, Plan.of(Placement("random", site, 0.25))) as handle, torch.no_grad():
        found = encoder(features).last_hidden_state
        model(**inputs)
        kept = handle.selections[site]
    seen = torch.zeros(3, 24, dtype=torch.bool).scatter(1, kept, True)
    with hidden_in_encoder(encoder.layers, layer + 1, seen), torch.no_grad():
        whole = encoder(features).last_hidden_state
    expected = whole.gather(1, kept[..., None].expand(-1, -1, whole.shape[-1]))
    assert found.shape == expected.shape
    assert (found - expected).abs().max() < 1e-5


def test_tome_merges_sounds_and_forced_identity_is_exact() -> None:
    model, inputs = whisper(), sounds(2)
    encoder, site = model.get_encoder(), "audio.encoder.layers.0.mid"
    with torch.no_grad():
        plain = encoder(inputs["input_features"]).last_hidden_state
        with apply(model, Plan.of(Placement("tome", site, 0.5))):
            assert encoder(inputs["input_features"]).last_hidden_state.shape[1] == plain.shape[1] // 2
        with apply(model, Plan.of(Placement("tome", site, 1.0)), force_compaction=True):
            assert torch.equal(encoder(inputs["input_features"]).last_hidden_state, plain)


def test_the_graph_offers_and_counts_what_the_adapter_does() -> None:
    config = WhisperConfig(encoder_layers=3, decoder_layers=2)  # windows of 30 s, as the real ones
    graph = trace(config, "audio=1s,text=4,new=1")
    offered = [site for site in adapter_of(config).sites(config) if ".encoder." in site]
    assert [str(site) for site in graph.sites() if ".encoder." in str(site)] == sorted(
        offered, key=lambda site: Site.parse(site).depth
    )
    count = graph.layouts["audio"].count
    short = resolve(graph, (Placement("random", "audio.encoder.layers.1", 0.5),)).stage("audio.encoder")
    whole = graph.stage("audio.encoder")
    assert short.tokens[: short.first + 1] == whole.tokens[: whole.first + 1]
    assert set(short.tokens[short.first + 1 :]) == {count - count // 2}
