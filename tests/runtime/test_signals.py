"""Every signal equals what the unmodified model computes: its eager attention maps, its cache, its embeddings."""

from __future__ import annotations

import pytest
import torch
from hidden_tokens import HiddenTokens, dropped_mask
from tiny import IMAGE_TOKEN, batch, tiny_llava

from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.ir.signal import (
    cls_row,
    decoder_key,
    embedding,
    encoder_key,
    last_row,
    mean_query_row,
    received,
    state,
    text_rows,
)
from foveate.passes import REGISTRY, Tokens
from foveate.runtime import apply
from foveate.runtime.reading import taps

ROWS = [(1, 4), (2, 6), (1, 9)]
PICTURES = [0, 1, 1, 2]  # the row of each


def eager(model):
    copy = tiny_llava(attention="eager")
    copy.load_state_dict(model.state_dict())
    return copy


def seen(monkeypatch, model, inputs, *placements: Placement) -> dict[str, Tokens]:
    """What each pass was given, by site, in one forward pass of the plan."""
    given: dict[str, Tokens] = {}
    for placement in placements:
        cls = REGISTRY.get(placement.method)
        original = cls.compress

        def spy(self, tokens, target, original=original, given=given, name=placement.method):
            given[name] = tokens
            return original(self, tokens, target)

        monkeypatch.setattr(cls, "compress", spy)
    with torch.no_grad(), apply(model, Plan.of(*placements)):
        model(**inputs)
    return given


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def places(inputs) -> tuple[torch.Tensor, list[list[int]]]:
    """(pictures, 16) places of each picture's tokens in its row, and of the text after each."""
    images, texts = [], []
    flat = (inputs["input_ids"] == IMAGE_TOKEN).nonzero().view(-1, 16, 2)
    for picture in flat:
        row, images_end = int(picture[0, 0]), int(picture[-1, 1])
        ids, mask = inputs["input_ids"][row], inputs["attention_mask"][row]
        images.append(picture[:, 1])
        texts.append([i for i in range(images_end + 1, len(ids)) if mask[i] and ids[i] != IMAGE_TOKEN])
    return torch.stack(images), texts


def of_text(signal: torch.Tensor, medium: int) -> torch.Tensor:
    """The slots of a medium that hold text; all others are 0."""
    flat = signal[medium].flatten(1)
    return signal[medium][(flat != 0).any(dim=1)]


@pytest.mark.parametrize("layer", [None, -1, 1])
def test_encoder_signals(monkeypatch, layer):
    model, inputs = tiny_llava(), batch([(2, 4)])
    number = {None: 1, -1: 2, 1: 0}[layer]
    given = {}
    attention = model.model.vision_tower.encoder.layers[number].self_attn
    hooks = [
        getattr(attention, name).register_forward_hook(lambda m, a, out, name=name: given.update({name: out}))
        for name in ("q_proj", "k_proj")
    ]
    tokens = seen(
        monkeypatch,
        model,
        inputs,
        Placement(
            "visionzip", "image.projector.output", 0.5, {"reads": "mean"} | ({} if layer is None else {"layer": layer})
        ),
    )["visionzip"]
    with torch.no_grad():
        maps = eager(model).model.vision_tower(inputs["pixel_values"], output_attentions=True).attentions[number]
    close(tokens.signals[received("encoder", layer)], maps.mean(dim=(1, 2))[:, 1:])
    close(tokens.signals[encoder_key(layer)], given["k_proj"][:, 1:].reshape(2, 16, 4, 8))
    joint = seen(
        monkeypatch, model, inputs, Placement("prumerge-plus", "image.projector.output", 0.5, {"layer": layer or -2})
    )
    expected = (given["q_proj"] @ given["k_proj"].mT * 32**-0.5).softmax(-1)[:, 0, 1:]
    close(joint["prumerge-plus"].signals[cls_row(layer or -2, joint=True)], expected)
    for hook in hooks:
        hook.remove()


@pytest.mark.parametrize("side", ["left", "right"])
def test_text_rows_and_embeddings(monkeypatch, side):
    model, inputs = tiny_llava(), batch(ROWS, side=side)
    tokens = seen(monkeypatch, model, inputs, Placement("sparsevlm", "decoder.layers.2", 0.5))["sparsevlm"]
    with torch.no_grad():
        maps = eager(model)(**inputs, output_attentions=True).attentions[1].mean(1)
        pictures = model.get_image_features(inputs["pixel_values"], return_dict=True).pooler_output
        words = model.get_input_embeddings()(inputs["input_ids"])
    images, texts = places(inputs)
    close(tokens.signals[embedding("media")], torch.stack(list(pictures)))
    for medium, row in enumerate(PICTURES):
        text = torch.tensor(texts[medium])
        close(of_text(tokens.signals[embedding("text")], medium), words[row, text])
        close(of_text(tokens.signals[text_rows()], medium), maps[row][text][:, images[medium]])


@pytest.mark.parametrize("side", ["left", "right"])
def test_keys_and_normed_states(monkeypatch, side):
    model, inputs = tiny_llava(), batch(ROWS, side=side)
    tokens = seen(monkeypatch, model, inputs, Placement("dart", "decoder.layers.2", 0.5))["dart"]
    with torch.no_grad():
        plain = model(**inputs, output_hidden_states=True, use_cache=True)
        normed = model.get_decoder().norm(plain.hidden_states[2])
    keys = plain.past_key_values.layers[1].keys.transpose(1, 2)
    images, texts = places(inputs)
    for medium, row in enumerate(PICTURES):
        text = torch.tensor(texts[medium])
        close(tokens.signals[decoder_key()][medium], keys[row, images[medium]])
        close(tokens.signals[state("media")][medium], normed[row, images[medium]])
        close(of_text(tokens.signals[decoder_key(of="text")], medium), keys[row, text])
        close(of_text(tokens.signals[state("text")], medium), normed[row, text])


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_next_layers_last_row_and_keys_are_known_before_it_runs(monkeypatch, side):
    model, inputs = tiny_llava(), batch(ROWS, side=side)
    rows = seen(monkeypatch, model, inputs, Placement("pyramiddrop", "decoder.layers.2", 0.5))["pyramiddrop"]
    with torch.no_grad():
        maps = eager(model)(**inputs, output_attentions=True).attentions[2].mean(1)
    length = inputs["input_ids"].shape[1]
    last = (inputs["attention_mask"] * torch.arange(1, length + 1)).argmax(1)
    images, _ = places(inputs)
    for medium, row in enumerate(PICTURES):
        close(rows.signals[last_row(0)][medium], maps[row, last[row], images[medium]])


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_mean_query_row_before_the_rotary_embedding(monkeypatch, side):
    model, inputs = tiny_llava(), batch(ROWS, side=side)
    tokens = seen(monkeypatch, model, inputs, Placement("pact-unweighted", "decoder.layers.2", 0.5))["pact-unweighted"]
    layer = model.get_decoder().layers[2]
    with torch.no_grad():
        plain = model(**inputs, output_hidden_states=True, use_cache=True)
        normed = layer.input_layernorm(plain.hidden_states[2])
        shape = (*normed.shape[:2], -1, 8)
        query = layer.self_attn.q_norm(layer.self_attn.q_proj(normed).view(shape))
        key = layer.self_attn.k_norm(layer.self_attn.k_proj(normed).view(shape)).repeat_interleave(2, dim=2)
    keys = plain.past_key_values.layers[2].keys.transpose(1, 2)
    images, _ = places(inputs)
    for medium, row in enumerate(PICTURES):
        end = int(images[medium, -1]) + 1
        span = inputs["attention_mask"][row, :end].nonzero()[:, 0]
        mean = query[row, span].mean(dim=0)
        weights = (torch.einsum("hd,nhd->hn", mean, key[row, span]) * 8**-0.5).softmax(-1).mean(0)
        close(tokens.signals[mean_query_row()][medium], weights[-16:])
        close(tokens.signals[decoder_key(0)][medium], keys[row, images[medium]])


@pytest.mark.parametrize("side", ["left", "right", "none"])
def test_attention_received_in_the_decoder(monkeypatch, side):
    rows = ROWS if side != "none" else [(2, 6)]
    model, inputs = tiny_llava(), batch(rows, side="left" if side == "none" else side)
    if side == "none":
        del inputs["attention_mask"]
    tokens = seen(monkeypatch, model, inputs, Placement("framefusion-once", "decoder.layers.2", 0.5))
    with torch.no_grad():
        maps = eager(model)(**inputs, output_attentions=True).attentions[1].mean(1)
    inputs.setdefault("attention_mask", torch.ones_like(inputs["input_ids"]))
    present = inputs["attention_mask"].float()
    column = (maps * present[..., None]).sum(1) / present.sum(1, keepdim=True)
    images, _ = places(inputs)
    for medium, row in enumerate(PICTURES if side != "none" else [0, 0]):
        close(tokens["framefusion-once"].signals[received("decoder", -1)][medium], column[row, images[medium]])


def test_after_an_earlier_drop_the_signals_are_those_of_the_tokens_that_remain(monkeypatch):
    """The oracle hides the dropped tokens from the unmodified model by 4-d masks and reads the same rows there."""
    model, inputs = tiny_llava(), batch(ROWS)
    plan = Plan.of(
        Placement("fastv", "decoder.layers.1", 0.5, group="two"),
        Placement("pyramiddrop", "decoder.layers.3", 0.5, group="two"),
    )
    with torch.no_grad(), apply(model, plan) as handle:
        model(**inputs)
        first, second = (handle.selections[f"decoder.layers.{layer}"] for layer in (1, 3))
    dropped = dropped_mask(inputs, first, image_token=IMAGE_TOKEN)
    tap = taps.install(model.get_decoder().layers[3].self_attn, -1)
    pixels = inputs["pixel_values"]
    with torch.no_grad():
        HiddenTokens(model, {1: dropped}, inputs).forward(inputs["input_ids"], pixel_values=pixels)
    row = tap.take()
    taps.remove(tap)
    images, _ = places(inputs)
    for medium, sequence in enumerate(PICTURES):
        scores = row[sequence, images[medium, first[medium]]]
        expected = first[medium, scores.topk(4).indices.sort().values]
        assert second[medium].tolist() == expected.tolist()


def test_where_no_text_follows_all_of_it_counts_and_nothing_waits_for_one_sequence(monkeypatch):
    model, inputs = tiny_llava(), batch([(1, 5)])
    ids = inputs["input_ids"]
    inputs = {
        "input_ids": torch.cat([ids[:, :1], ids[:, 17:], ids[:, 1:17]], dim=1),
        "pixel_values": inputs["pixel_values"],
    }
    monkeypatch.setattr(torch.Tensor, "__int__", lambda _: pytest.fail("the host waited for the device"))
    tokens = seen(monkeypatch, model, inputs, Placement("sparsevlm", "decoder.layers.2", 0.5))["sparsevlm"]
    monkeypatch.undo()
    words = model.get_input_embeddings()(inputs["input_ids"][:, :-16])
    close(tokens.signals[embedding("text")], words)
