"""The methods for sound inside a live Whisper read what its own attention computed."""

from __future__ import annotations

import pytest
import torch
from cross_models import sounds, whisper

from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.runtime import apply


@pytest.fixture
def model():
    return whisper()


def entering(model, features: torch.Tensor, layer: int) -> torch.Tensor:
    """(B, N, D) states that enter an encoder layer, by hand."""
    encoder = model.get_encoder()
    gelu = torch.nn.functional.gelu
    hidden = gelu(encoder.conv2(gelu(encoder.conv1(features)))).mT + encoder.embed_positions.weight
    for module in encoder.layers[:layer]:
        hidden = module(hidden, None)
    return hidden


def queries_and_keys(model, features: torch.Tensor, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, heads, N, W) each, of one encoder layer, queries scaled."""
    module = model.get_encoder().layers[layer]
    hidden, attention = module.self_attn_layer_norm(entering(model, features, layer)), module.self_attn
    heads = (attention.num_heads, attention.head_dim)
    query, key = (
        projection(hidden).unflatten(-1, heads).transpose(1, 2) for projection in (attention.q_proj, attention.k_proj)
    )
    return query * attention.head_dim**-0.5, key


@pytest.mark.parametrize(("site", "layer"), [("audio.encoder.layers.1.mid", 1), ("audio.encoder.output", 2)])
def test_topk_audio_keeps_what_receives_most_attention(model, site: str, layer: int) -> None:
    inputs = sounds(2)
    with apply(model, Plan.of(Placement("topk-audio", site, 0.25))) as handle, torch.no_grad():
        model(**inputs)
        kept = handle.selections[site]
    with torch.no_grad():
        query, key = queries_and_keys(model, inputs["input_features"], layer)
        received = (query @ key.mT).softmax(dim=-1).mean(dim=(1, 2))
    assert torch.equal(kept, received.topk(6).indices.sort(dim=-1).values)


def test_a_tome_merges_neighbours_whose_keys_are_alike(model) -> None:
    inputs, site = sounds(2), "audio.encoder.layers.0.mid"
    with apply(model, Plan.of(Placement("a-tome", site, 0.75))) as handle, torch.no_grad():
        shortened = model.get_encoder()(inputs["input_features"]).last_hidden_state
        model(**inputs)
        kept = handle.selections[site]
    assert shortened.shape[1] == kept.shape[1] == 18
    with torch.no_grad():
        _, key = queries_and_keys(model, inputs["input_features"], 0)
        mean = torch.nn.functional.normalize(key.mean(dim=1), dim=-1)
        similar = (mean[:, 1:] * mean[:, :-1]).sum(dim=-1)
    for row in range(2):
        joined = set((similar[row].topk(6).indices + 1).tolist())
        assert kept[row].tolist() == [place for place in range(24) if place not in joined]
