"""Whisper: the decoder under a plan equals the decoder fed the encoder states that remain, made by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from cross_models import sounds, whisper
from live_families import FIRST_WORD, WORDS
from transformers.modeling_outputs import BaseModelOutput

from foveate.common.errors import BadInput
from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.runtime import apply

SITES = ("audio.encoder.layers.0", "audio.encoder.layers.2", "audio.encoder.output")


def logits(model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """(B, 3 + 8, V): the prompt in one go, then eight forced tokens through the cache."""
    steps = torch.randint(
        FIRST_WORD, WORDS, (len(inputs["decoder_input_ids"]), 8), generator=torch.Generator().manual_seed(1)
    )
    with torch.no_grad():
        output = model(**inputs, use_cache=True)
        found = [output.logits]
        for step in range(steps.shape[1]):
            output = model(
                encoder_outputs=BaseModelOutput(output.encoder_last_hidden_state),
                decoder_input_ids=steps[:, step : step + 1],
                past_key_values=output.past_key_values,
                use_cache=True,
            )
            found.append(output.logits)
    return torch.cat(found, dim=1)


def states_by_hand(model: Any, features: torch.Tensor, kept: torch.Tensor, layer: int) -> torch.Tensor:
    """The encoder's output when its layers from `layer` on see only the kept positions."""
    encoder = model.get_encoder()
    index = kept[..., None].expand(-1, -1, 32)
    with torch.no_grad():
        hidden = torch.nn.functional.gelu(encoder.conv2(torch.nn.functional.gelu(encoder.conv1(features)))).mT
        hidden = hidden + encoder.embed_positions.weight
        for number, module in enumerate(encoder.layers):
            hidden = module(hidden.gather(1, index) if number == layer else hidden, None)
        hidden = encoder.layer_norm(hidden)
        return hidden.gather(1, index) if layer >= len(encoder.layers) else hidden


@pytest.mark.parametrize("site", SITES)
def test_dropping_equals_the_states_that_remain(site):
    model, inputs = whisper(), sounds(3)
    with apply(model, Plan.of(Placement("random", site, 0.25))) as handle:
        compressed = logits(model, inputs)
        kept = handle.selections[site]
    assert kept.shape == (3, 6)
    layer = int(site[-1]) if site[-1].isdigit() else 99
    states = states_by_hand(model, inputs["input_features"], kept, layer)
    expected = logits(
        model, {"encoder_outputs": BaseModelOutput(states), "decoder_input_ids": inputs["decoder_input_ids"]}
    )
    assert (compressed - expected).abs().max() < 1e-5


@pytest.mark.parametrize("site", SITES)
def test_keeping_everything_is_bit_identical_and_removal_restores(site):
    model, inputs = whisper(), sounds(2)
    plain = logits(model, inputs)
    for forced in (False, True):
        with apply(model, Plan.of(Placement("random", site, 1.0)), force_compaction=forced):
            assert torch.equal(logits(model, inputs), plain)
    assert torch.equal(logits(model, inputs), plain)


def test_pooling_the_output_equals_pooling_by_hand():
    model, inputs = whisper(), sounds(2)
    with apply(model, Plan.of(Placement("pool", "audio.encoder.output", 0.25))):
        compressed = logits(model, inputs)
    with torch.no_grad():
        pooled = model.get_encoder()(inputs["input_features"]).last_hidden_state.unflatten(1, (6, 4)).mean(2)
    given = {"encoder_outputs": BaseModelOutput(pooled), "decoder_input_ids": inputs["decoder_input_ids"]}
    assert (compressed - logits(model, given)).abs().max() < 1e-5


def test_generate_runs_the_plan():
    model, inputs = whisper(), sounds(2)
    with apply(model, Plan.of(Placement("uniform", "audio.encoder.layers.1", 0.25))), torch.no_grad():
        output = model.generate(
            inputs["input_features"], max_new_tokens=4, do_sample=False, return_dict_in_generate=True, num_beams=2
        )
        cache = output["past_key_values"] if isinstance(output, dict) else output.past_key_values
    assert cache.cross_attention_cache.layers[0].keys.shape[2] == 6


def test_decoder_sites_are_refused():
    with pytest.raises(BadInput, match="unknown site"):
        apply(whisper(), Plan.of(Placement("random", "decoder.layers.1", 0.5)))
