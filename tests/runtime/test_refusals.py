"""What cannot run is refused before anything is touched, in one sentence that names the field and the mend."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers as t
from cross_models import mllama, whisper
from family_cases import BY_NAME
from live_families import IMAGE, TEXT, VISION, batch
from model_state import state_of

from foveate.common.errors import BadInput
from foveate.ir.fingerprint import fingerprint
from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.ir.plan_schema import ModelRecord
from foveate.runtime import apply, check_fits

AT_PROJECTOR = Plan.of(Placement("random", "image.projector.output", 0.5))


def llava_with(text: Any) -> Any:
    return t.LlavaConfig(vision_config=t.CLIPVisionConfig(**VISION), text_config=text, image_token_id=IMAGE)


def refused(model: Any, plan: Plan, message: str) -> None:
    """`apply` refuses, and the model is as before."""
    before = state_of(model)
    with pytest.raises(BadInput, match=message) as raised:
        apply(model, plan)
    assert state_of(model) == before
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("placement", "message"),
    [
        (Placement("fastvlm", "image.projector.output", 0.5), "did you mean 'fastervlm'"),
        (Placement("random", "image.projector.outptu", 0.5), "unknown site"),
        (Placement("random", "decoder.layers.9", 0.5), r"placements\[0\]"),
        (Placement("random", "image.projector.output", 1.5), r"placements\[0\]\.keep is 1\.5; it must be above 0"),
        (Placement("random", "image.projector.output", -0.5), r"placements\[0\]\.keep is -0\.5"),
        (Placement("random", "image.projector.output", 0.0), r"placements\[0\]\.keep is 0"),
        (Placement("random", "audio.projector.output", 0.5), "audio"),
        (Placement("random", "decoder.layers.1", 0.5, modality=("audio",)), "audio"),
        (Placement("random", "image.projector.output", 0.5, {"sede": 1}), "did you mean 'seed'"),
    ],
)
@pytest.mark.parametrize("name", ["llava", "qwen3_vl", "gemma3", "blip-2"])
def test_a_wrong_field_is_named_on_every_family(name: str, placement: Placement, message: str) -> None:
    refused(BY_NAME[name].build(), Plan.of(placement), message)


def test_the_second_placement_is_named_by_its_number() -> None:
    wrong = Placement("random", "decoder.layers.2", 2.0)
    refused(BY_NAME["llava"].build(), Plan.of(*AT_PROJECTOR.placements, wrong), r"placements\[1\]\.keep")


def test_a_modality_that_the_model_lacks() -> None:
    for model, plan in (
        (whisper(), AT_PROJECTOR),
        (BY_NAME["qwen2_audio"].build(), AT_PROJECTOR),
        (mllama(), Plan.of(Placement("random", "video.projector.output", 0.5))),
    ):
        refused(model, plan, "unknown site")


def test_a_plan_for_another_model_is_refused_with_both_ways_out() -> None:
    other = BY_NAME["vipllava"].build()
    record = ModelRecord(name="mine", type="vipllava", fingerprint=fingerprint(other))
    plan = Plan(AT_PROJECTOR.placements, model=record)
    refused(BY_NAME["llava"].build(), plan, r"the plan is for mine \(vipllava\).*make a plan for it, or remove")
    apply(other, plan).remove()


@pytest.mark.parametrize(
    "arguments", [{"prompt_lookup_num_tokens": 2}, {"assistant_model": "itself"}, {"assistant_early_exit": 1}], ids=str
)
def test_assisted_decoding(arguments: dict[str, Any]) -> None:
    case = BY_NAME["llava"]
    model = case.build()
    inputs, _ = batch(case, rows=1)
    ran = []
    watch = model.register_forward_hook(lambda *_: ran.append(True))
    given = {name: model if value == "itself" else value for name, value in arguments.items()}
    with apply(model, AT_PROJECTOR), pytest.raises(BadInput, match=f"{next(iter(arguments))} asks for assisted"):
        model.generate(**inputs, max_new_tokens=2, **given)
    assert not ran
    watch.remove()


def test_assisted_decoding_by_the_generation_config() -> None:
    case = BY_NAME["qwen2_5_vl"]
    model = case.build()
    inputs, _ = batch(case, rows=1)
    settings = t.GenerationConfig(prompt_lookup_num_tokens=2, max_new_tokens=2)
    with apply(model, AT_PROJECTOR), pytest.raises(BadInput, match="leave it out"):
        model.generate(**inputs, generation_config=settings)
    with apply(mllama(), AT_PROJECTOR) as handle, pytest.raises(BadInput, match="assisted"):
        handle._session.model.generate(prompt_lookup_num_tokens=2)


def mixed_lfm2() -> Any:
    kinds = ["conv", "conv", "full_attention", "conv"]
    return t.Lfm2Config(**TEXT, layer_types=kinds, block_multiple_of=16)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (lambda: llava_with(mixed_lfm2()), "layers of conv"),
        (lambda: llava_with(t.RwkvConfig(vocab_size=64, hidden_size=32, num_hidden_layers=2)), "recurrent"),
        (lambda: llava_with(t.JambaConfig()), "layers of linear_attention"),
        (lambda: llava_with(t.BloomConfig(vocab_size=64, hidden_size=32, n_layer=2, n_head=4)), "by distance"),
        (lambda: t.Blip2Config(text_config=t.T5Config(vocab_size=64, d_model=32)), "relative position bias"),
        (lambda: t.InstructBlipConfig(text_config=t.T5Config(vocab_size=64, d_model=32)), "relative position bias"),
        (lambda: t.Qwen3_5Config(), "linear_attention"),
        (lambda: t.FuyuConfig(), "not supported yet; supported are"),
    ],
)
def test_mixers_without_a_mask_and_unknown_types_are_refused_by_their_configuration(config: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        check_fits(AT_PROJECTOR, config())


def test_a_convolutional_decoder_is_refused_before_its_model_is_touched() -> None:
    model = t.LlavaForConditionalGeneration._from_config(llava_with(mixed_lfm2()))
    refused(model, AT_PROJECTOR, "layers of conv.*choose a model")


def test_precomputed_outputs_without_their_grids() -> None:
    case = BY_NAME["qwen2_5_vl"]
    model = case.build()
    inputs, _ = batch(case, rows=1)
    with torch.no_grad():
        outputs = model.get_image_features(inputs["pixel_values"], inputs["image_grid_thw"], return_dict=True)
        text = {name: inputs[name] for name in ("input_ids", "attention_mask")}
        with apply(model, AT_PROJECTOR), pytest.raises(BadInput, match="image_grid_thw"):
            model(**text, mm_encoder_outputs={"image": outputs})
