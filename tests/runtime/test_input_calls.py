"""Placements before the encoder in ordinary use: Whisper, other placements beside them, beams, turns, refusals."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from cross_models import sounds, whisper
from family_cases import BY_NAME
from layer_oracle import dropped_columns, forced_logits, hiding
from live_families import FIRST_WORD, WORDS, batch
from transformers.modeling_outputs import BaseModelOutput

from foveate.common.errors import BadInput
from foveate.ir.input_changes import INPUT_CHANGES
from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.passes import REGISTRY
from foveate.runtime import apply, measure
from foveate.runtime.adapters import ADAPTERS, adapter_of
from foveate.runtime.adapters.input_table import FORMS, SOUNDS


def plan(*placed: tuple[str, str, float]) -> Plan:
    return Plan.of(*(Placement(*each) for each in placed))


def answer(rows: int, steps: int = 8) -> torch.Tensor:
    return torch.randint(FIRST_WORD, WORDS, (rows, steps), generator=torch.Generator().manual_seed(1))


def logits(model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """(B, 3 + 8, V) logits of the prompt and of eight more tokens."""
    prompt = inputs["decoder_input_ids"]
    longer = torch.cat([prompt, answer(len(prompt))], dim=1)
    with torch.no_grad():
        found: torch.Tensor = model(**{**inputs, "decoder_input_ids": longer}).logits
    return found


def test_whisper_hears_the_shorter_sound() -> None:
    """The oracle feeds the decoder the tower's states of the spliced spectrum, each at its own position."""
    model, inputs = whisper(), sounds(3)
    with apply(model, plan(("trim-padding", "audio.input", 0.25))) as handle:
        compressed = logits(model, inputs)
        kept = handle.selections["audio.input"]
    assert kept.shape == (3, 6)
    encoder, states = model.get_encoder(), []
    for spectrum, chosen in zip(inputs["input_features"], kept, strict=True):
        with torch.no_grad():
            cut = spectrum.unflatten(1, (-1, 2))[:, chosen].flatten(1)[None]
            hidden = torch.nn.functional.gelu(encoder.conv2(torch.nn.functional.gelu(encoder.conv1(cut)))).mT
            hidden = hidden + encoder.embed_positions.weight[chosen]
            for layer in encoder.layers:
                hidden = layer(hidden, None)
            states.append(encoder.layer_norm(hidden))
    given = {"encoder_outputs": BaseModelOutput(torch.cat(states)), "decoder_input_ids": inputs["decoder_input_ids"]}
    assert (compressed - logits(model, given)).abs().max() < 1e-5


def test_whisper_keeping_everything_is_bit_identical_and_is_restored() -> None:
    model, inputs = whisper(), sounds(2)
    plain, table = logits(model, inputs), model.get_encoder().embed_positions
    for forced in (False, True):
        with apply(model, plan(("trim-padding", "audio.input", 1.0)), force_compaction=forced):
            assert torch.equal(logits(model, inputs), plain)
    assert model.get_encoder().embed_positions is table


def test_padding_goes_first() -> None:
    model, inputs = whisper(), sounds(1)
    inputs["input_features"][..., 20:] = -9.0  # as quiet as the processor's padding
    with apply(model, plan(("trim-padding", "audio.input", 10 / 24))) as handle:
        logits(model, inputs)
        assert handle.selections["audio.input"].tolist() == [list(range(10))]


def test_what_remains_can_be_compressed_again() -> None:
    case = BY_NAME["qwen2_vl-video"]
    model = case.build()
    inputs, _ = batch(case, rows=2)
    placed = plan(
        ("uniform-frames", "video.input", 0.67),
        ("random", "video.projector.output", 0.5),
        ("pool", "decoder.layers.2", 0.5),
    )
    with apply(model, placed) as handle:
        forced_logits(model, inputs, answer(2))
        first, second, third = (handle.selections[p.site] for p in placed.placements)
    assert [rows.shape[1] for rows in (first, second)] == [16, 8]
    for row in range(2):
        assert set(third[row].tolist()) <= set(second[row].tolist()) <= set(first[row].tolist())


@pytest.mark.parametrize(
    ("name", "placed"),
    [
        ("qwen2_vl", ("downsample", "image.input", 0.5)),
        ("llava_next_video", ("mgsampler-pixels", "video.input", 0.4)),
        ("qwen2_5_vl-video", ("mgsampler-pixels", "video.input", 0.4)),
    ],
)
def test_beams_over_two_prompts(name: str, placed: tuple[str, str, float]) -> None:
    """As each prompt alone; what is kept differs from prompt to prompt."""
    model = BY_NAME[name].build()
    inputs, _ = batch(BY_NAME[name], rows=2)
    options: dict[str, Any] = {"max_new_tokens": 5, "num_beams": 3, "do_sample": False, "output_scores": True}
    with apply(model, plan(placed)), torch.no_grad():
        found = model.generate(**inputs, **options, return_dict_in_generate=True)
        alone = []
        for row in range(2):
            one = {key: value.chunk(2)[row] for key, value in inputs.items()}
            alone.append(model.generate(**one, **options, return_dict_in_generate=True))
    assert torch.equal(found.sequences, torch.cat([each.sequences for each in alone]))
    assert (found.sequences_scores - torch.cat([each.sequences_scores for each in alone])).abs().max() < 1e-5


def test_a_second_turn_goes_on_from_the_smaller_picture() -> None:
    case = BY_NAME["qwen2_5_vl"]
    model = case.build()
    inputs, where = batch(case, rows=1)
    more = answer(1, 6)
    with apply(model, plan(("downsample", "image.input", 0.5))) as handle:
        found = two_turns(model, inputs, more)
        kept = handle.selections["image.input"]
    hidden = dropped_columns(inputs, where, kept)
    features = {}

    def remember(module: Any, args: Any, kwargs: Any) -> None:
        features.setdefault("embeds", kwargs["inputs_embeds"].clone())

    decoder = adapter_of(model.config).decoder(model)
    with apply(model, plan(("downsample", "image.input", 0.5))):
        hook = model.base_model.language_model.register_forward_pre_hook(remember, with_kwargs=True, prepend=True)
        with torch.no_grad():
            model(**inputs)
        hook.remove()

    def replaced(module: Any, args: Any, kwargs: Any) -> Any:
        full = kwargs["inputs_embeds"].shape == features["embeds"].shape
        return args, {**kwargs, "inputs_embeds": features["embeds"]} if full else kwargs

    hook = decoder.register_forward_pre_hook(replaced, with_kwargs=True, prepend=True)
    with hiding(decoder, {0: hidden}):
        expected = two_turns(model, inputs, more)
    hook.remove()
    assert (found - expected).abs().max() < 1e-5


def two_turns(model: Any, inputs: dict[str, torch.Tensor], more: torch.Tensor) -> torch.Tensor:
    """Logits of the prompt's last token and of a second turn's tokens."""
    with torch.no_grad():
        first = model(**inputs, use_cache=True)
        second = model(input_ids=more, past_key_values=first.past_key_values, use_cache=True)
    return torch.cat([first.logits[:, -1:], second.logits], dim=1)


def test_measuring_a_smaller_picture() -> None:
    """The cache shrinks by exactly the tokens dropped, and the plan's prefill includes its resizing."""
    model = BY_NAME["llava"].build()
    inputs, _ = batch(BY_NAME["llava"], rows=1)
    found = measure(model, inputs, plan=plan(("downsample", "image.input", 0.25)), rounds=1, warmup=0, new_tokens=1)
    assert found.plan is not None
    length = inputs["input_ids"].shape[1]
    assert found.plan.kv_bytes * length == found.plain.kv_bytes * (length - 12)


def fail_inside(model: Any, inputs: dict[str, torch.Tensor]) -> None:
    with apply(model, plan(("downsample", "image.input", 0.5))):
        forced_logits(model, inputs, answer(2))
        raise ZeroDivisionError


def test_the_model_is_as_before_after_an_exception() -> None:
    case = BY_NAME["llava"]
    model = case.build()
    inputs, _ = batch(case)
    plain = forced_logits(model, inputs, answer(2))
    with pytest.raises(ZeroDivisionError):
        fail_inside(model, inputs)
    assert "get_image_features" not in vars(model.base_model)
    assert torch.equal(forced_logits(model, inputs, answer(2)), plain)


def test_outputs_of_a_run_without_the_plan_are_refused() -> None:
    case = BY_NAME["llava"]
    model = case.build()
    inputs, _ = batch(case, rows=1)
    with torch.no_grad():
        outputs = {"image": model.get_image_features(inputs.pop("pixel_values"))}
        with (
            apply(model, plan(("downsample", "image.input", 0.5))),
            pytest.raises(BadInput, match="before the plan was applied"),
        ):
            model(**inputs, mm_encoder_outputs=outputs)


REFUSED = [
    ("gemma3", [("downsample", "image.input", 0.5)], "averages a grid of one size"),
    ("llama4", [("downsample", "image.input", 0.5)], "one size of tile"),
    ("llava_next", [("downsample", "image.input", 0.5)], "image.projector.output instead"),
    ("llava_onevision", [("downsample", "video.input", 0.5)], "lets only its frames change"),
    ("granite_speech", [("trim-padding", "audio.input", 0.5)], "blocks of fixed size"),
    ("llava", [("random", "image.input", 0.5)], "random acts at"),
    ("llava", [("downsample", "image.projector.output", 0.5)], "downsample acts at input"),
    ("llava", [("downsample", "image.input", 0.0)], r"placements\[0\].keep is 0.0"),
    ("llava", [("downsample", "video.input", 0.5)], "video"),
    ("voxtral", [("trim-padding", "audio.input", 0.5), ("random", "audio.encoder.layers.1", 0.5)], "acts in the audio"),
]


@pytest.mark.parametrize(("name", "placed", "sentence"), REFUSED)
def test_what_cannot_be_is_refused_before_anything_is_touched(
    name: str, placed: list[tuple[str, str, float]], sentence: str
) -> None:
    model = BY_NAME[name].build()
    with pytest.raises(BadInput, match=sentence):
        apply(model, plan(*placed))
    assert not model._forward_pre_hooks


def test_a_users_pass_must_say_what_of_the_input_it_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(REGISTRY.get("random"), "sites", ("input", "projector.output"))
    with pytest.raises(BadInput, match="derive it from InputPass"):
        apply(BY_NAME["llava"].build(), plan(("random", "image.input", 0.5)))


def test_graphs_and_live_models_agree_on_what_can_be_changed() -> None:
    """The table of the graphs, the forms of the pixels and the adapters' sites are three views of one thing."""
    live: dict[tuple[str, str], tuple[str, ...]] = {(kind, "audio"): ("sound",) for kind in SOUNDS}
    configs = {case.build().config.model_type: case.build().config for case in BY_NAME.values()}
    live |= {key: form(configs[key[0]]).changes for key, form in FORMS.items()}
    assert live == INPUT_CHANGES
    for (kind, modality), changes in INPUT_CHANGES.items():
        assert kind in ADAPTERS
        if kind in configs:
            assert (f"{modality}.input" in adapter_of(configs[kind]).sites(configs[kind])) == bool(changes)
