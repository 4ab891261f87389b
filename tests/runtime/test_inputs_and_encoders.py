"""A pass before the encoder and one inside it: equal to the encoder on the smaller input with what it drops hidden."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from encoder_cases import CASES, SITES, flow_of, unit_tokens
from encoder_oracle import hidden_in_encoder
from input_oracle import answer, by_hand, chosen_frames, rows_of, smaller_pictures
from layer_oracle import forced_logits
from live_families import Case, batch
from transcribers import FRAMES, MELS, transcriber

from foveate.common.errors import BadInput
from foveate.ir.input_changes import input_changes
from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.ir.site import Site
from foveate.runtime import apply

METHODS = {"size": "downsample", "frames": "uniform-frames"}
POINTS = [
    (name, METHODS[change], site)
    for name, case in CASES.items()
    for change in input_changes(name.split("-")[0], case.modality)
    for site in SITES
    if change in METHODS
]


@pytest.mark.parametrize(("name", "method", "site"), POINTS)
def test_both_together_equal_the_encoder_on_what_remains(name: str, method: str, site: str) -> None:
    case = CASES[name]
    model = case.build()
    inputs, where = batch(case, rows=3)
    before, inside = f"{case.modality}.input", f"{case.modality}.{site}"
    with apply(model, Plan.of(Placement(method, before, 0.5), Placement("random", inside, 0.5))) as handle:
        compressed = forced_logits(model, inputs, answer())
        given = handle.selections[before]
        left = handle.selections.get(inside, given)  # one unit is kept as it is
    for whole, mine, own in zip(where, rows_of(given), rows_of(left), strict=True):
        assert len(own) == max(1, int(0.5 * len(mine) + 0.5))
        assert len(mine) < len(whole[1])
        assert set(own) <= set(mine)
    if method == "downsample":
        smaller = smaller_pictures(model, inputs, where, modality=case.modality)
    else:
        smaller = chosen_frames(model, inputs, where, given)

    @contextmanager
    def encoding() -> Iterator[None]:
        place = Site.parse(inside)
        first = 99 if place.layer is None else place.layer + (place.kind == "encoder.layer.mid")
        with hidden_in_encoder(flow_of(case, model).layers, first, seen(case, model, smaller, given, left)):
            yield

    expected = by_hand(model, case.modality, inputs, where, given, smaller, left=left, encoding=encoding)
    assert (compressed - expected).abs().max() < 1e-5


def seen(case: Case, model: Any, smaller: dict[str, Any], given: torch.Tensor, left: torch.Tensor) -> torch.Tensor:
    """(R, L) bool: the tokens of the run on the smaller input without those of the units that the pass drops."""
    shapes: list[tuple[int, int]] = []

    def look(module: Any, args: Any, kwargs: Any) -> None:
        states = args[0] if args else next(iter(kwargs.values()))
        shapes.append((1, states.shape[0]) if states.ndim == 2 else tuple(states.shape[:2]))

    handle = flow_of(case, model).layers[0].register_forward_pre_hook(look, with_kwargs=True)
    features = getattr(type(model.base_model), f"get_{case.modality}_features")
    with torch.no_grad():
        features(model.base_model, **smaller)
    handle.remove()
    found = torch.ones(shapes[0], dtype=torch.bool)
    for units, mine, own in zip(
        unit_tokens(case, model, smaller, shapes[0]), rows_of(given), rows_of(left), strict=True
    ):
        for whole, tokens in zip(mine, units, strict=True):
            if whole not in own:
                found.view(-1)[tokens] = False
    return found


def test_what_is_read_in_the_encoder_is_of_the_smaller_picture() -> None:
    """FasterVLM's scores, the attention of [CLS] in the layer that is read, from the unmodified tower."""
    case = CASES["llava"]
    model = case.build()
    inputs, where = batch(case, rows=3)
    before, behind = "image.input", "image.projector.output"
    with apply(model, Plan.of(Placement("downsample", before, 0.5), Placement("fastervlm", behind, 0.5))) as handle:
        forced_logits(model, inputs, answer(steps=1))
        given, left = handle.selections[before], handle.selections[behind]
    tower = model.base_model.vision_tower
    tower.set_attn_implementation("eager")
    with torch.no_grad():
        read = tower(**smaller_pictures(model, inputs, where), output_attentions=True).attentions
    scores = read[model.config.vision_feature_layer].mean(dim=1)[:, 0, 1:]
    best = scores.topk(left.shape[1]).indices.sort().values
    assert left.shape[1] < given.shape[1] < 16
    assert torch.equal(left, given.gather(1, best))


@pytest.mark.parametrize("site", ["encoder.layers.1", "encoder.layers.0.mid", "encoder.output"])
def test_sounds_of_whisper_are_shortened_twice(site: str) -> None:
    """What is left of a trimmed sound, in the whole sound's indices; at the output its states are the trimmed ones."""
    model, inputs = transcriber(), torch.randn(2, MELS, FRAMES, generator=torch.Generator().manual_seed(0))
    before, inside = Placement("trim-padding", "audio.input", 0.5), Placement("random", f"audio.{site}", 0.5)
    with torch.no_grad(), apply(model, Plan.of(before)):
        trimmed = model.get_encoder()(inputs).last_hidden_state
    with torch.no_grad(), apply(model, Plan.of(before, inside)) as handle:
        states = model.get_encoder()(inputs).last_hidden_state
        given, left = handle.selections[before.site], handle.selections[inside.site]
    assert states.shape[1] == left.shape[1] == given.shape[1] // 2
    places = (left[:, :, None] == given[:, None]).int()
    assert places.sum(dim=2).eq(1).all()
    if site == "encoder.output":
        index = places.argmax(dim=2)[..., None].expand_as(states)
        torch.testing.assert_close(states, trimmed.gather(1, index), rtol=0, atol=1e-5)


@pytest.mark.parametrize("later", [("random", "audio.encoder.layers.0.mid"), ("topk-audio", "audio.encoder.output")])
def test_sounds_that_are_put_back_to_their_places_are_refused(later: tuple[str, str]) -> None:
    case = CASES["voxtral"]
    placements = Placement("trim-padding", "audio.input", 0.5), Placement(*later, 0.5)
    with pytest.raises(BadInput, match=r"acts in the audio encoder, whose input trim-padding@audio.input keep 0\.5"):
        apply(case.build(), Plan.of(*placements))
