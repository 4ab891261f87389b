"""Placements inside the encoder equal the encoder run by hand on the tokens that remain."""

from __future__ import annotations

import pytest
import torch
from family_cases import BY_NAME
from layer_oracle import dropped_columns, forced_logits, hiding
from live_families import FIRST_WORD, WORDS, batch

from foveate.common.errors import BadInput
from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.runtime import apply
from foveate.runtime.adapters import adapter_of

FAMILIES = ("llava", "vipllava", "paligemma")
SITES = ("image.encoder.layers.0", "image.encoder.layers.1", "image.encoder.output")


def answer(rows: int = 3, steps: int = 8) -> torch.Tensor:
    return torch.randint(FIRST_WORD, WORDS, (rows, steps), generator=torch.Generator().manual_seed(1))


def features_by_hand(model, pixels, kept, layer):
    """Projected features (media, K, D) when the tower's layers from `layer` on see only the kept patches."""
    tower = adapter_of(model.config).encoder(model, "image")
    layers = adapter_of(model.config).encoder_layers(model, "image")
    states: list[torch.Tensor] = []
    hooks = [layers[0].register_forward_pre_hook(lambda m, a: states.append(a[0]))]
    with torch.no_grad():
        tower(pixels)
        hooks[0].remove()
        hidden = states[0]
        prefix = hidden.shape[1] - 16
        index = torch.cat([torch.arange(prefix).expand(len(kept), -1), kept + prefix], dim=1)
        index = index[..., None].expand(-1, -1, hidden.shape[-1])
        outputs = [hidden]
        for number, module in enumerate(layers):
            hidden = module(hidden.gather(1, index) if number == layer else hidden, None)
            outputs.append(hidden)
        return outputs, prefix


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("name", FAMILIES)
def test_dropping_equals_the_encoder_on_what_remains(name, site):
    """The oracle decodes the features made by hand, at their original places, with the other places hidden."""
    case = BY_NAME[name]
    model = case.build()
    inputs, where = batch(case, rows=3)
    with apply(model, Plan.of(Placement("random", site, 0.5))) as handle:
        compressed = forced_logits(model, inputs, answer())
        kept = handle.selections[site]
    layer = int(site[-1]) if site[-1].isdigit() else 99
    outputs, prefix = features_by_hand(model, inputs["pixel_values"], kept, layer)
    projector = adapter_of(model.config).projector(model, "image")

    def replaced(module, args, output):
        narrow = projector_input(model, outputs, prefix, kept, layer)
        features = module.forward(narrow)
        full = torch.zeros(len(kept), 16, features.shape[-1])
        return full.scatter(1, kept[..., None].expand(-1, -1, features.shape[-1]), features)

    hook = projector.register_forward_hook(replaced)
    with hiding(adapter_of(model.config).decoder(model), {0: dropped_columns(inputs, where, kept)}):
        expected = forced_logits(model, inputs, answer())
    hook.remove()
    assert (compressed - expected).abs().max() < 1e-5


def projector_input(model, outputs, prefix, kept, layer):
    """What each family hands its projector, from the outputs of the embeddings and of each layer."""
    config, tower = model.config, adapter_of(model.config).encoder(model, "image")
    if config.model_type == "paligemma":
        last = tower.post_layernorm(outputs[-1]) if hasattr(tower, "post_layernorm") else outputs[-1]
        chosen = [last]
    elif config.model_type == "vipllava":
        chosen = [outputs[index] for index in config.vision_feature_layers]
    else:
        chosen = [outputs[config.vision_feature_layer]]
    states = torch.cat(chosen, dim=-1)[:, prefix:]
    return states if layer < 99 else states.gather(1, kept[..., None].expand(-1, -1, states.shape[-1]))


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("name", FAMILIES)
def test_keeping_everything_in_the_encoder_is_bit_identical(name, site):
    case = BY_NAME[name]
    model = case.build()
    inputs, _ = batch(case, rows=3)
    plain = forced_logits(model, inputs, answer())
    for forced in (False, True):
        with apply(model, Plan.of(Placement("random", site, 1.0)), force_compaction=forced):
            assert torch.equal(forced_logits(model, inputs, answer()), plain)


def test_placements_before_and_after_the_projector_compose():
    case = BY_NAME["llava"]
    model = case.build()
    inputs, _ = batch(case, rows=3)
    first, second, third = "image.encoder.layers.1", "image.projector.output", "decoder.layers.2"
    plan = Plan.of(*(Placement("random", site, 0.5) for site in (first, second, third)))
    with apply(model, plan) as handle:
        forced_logits(model, inputs, answer())
        kept = handle.selections
        assert [kept[site].shape[1] for site in (first, second, third)] == [8, 4, 2]
        for row in range(len(kept[first])):
            assert set(kept[third][row].tolist()) <= set(kept[second][row].tolist()) <= set(kept[first][row].tolist())


def test_outputs_of_a_run_without_the_plan_are_refused():
    case = BY_NAME["llava"]
    model = case.build()
    inputs, _ = batch(case, rows=1)
    with torch.no_grad():
        outputs = {"image": model.get_image_features(inputs.pop("pixel_values"))}
        with (
            apply(model, Plan.of(Placement("random", "image.encoder.output", 0.5))),
            pytest.raises(BadInput, match="before the plan was applied"),
        ):
            model(**inputs, mm_encoder_outputs=outputs)
