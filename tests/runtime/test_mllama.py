"""Llama 3.2 Vision: dropped tokens leave the cross-attention's keys, as if its mask had hidden them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers as t
from layer_oracle import forced_logits
from live_families import FIRST_WORD, IMAGE, START, TEXT, WORDS, finish

from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.runtime import apply

SITE = "image.projector.output"
TILES, GRID = 2, 16


def mllama() -> Any:
    module = t.models.mllama.configuration_mllama
    vision = module.MllamaVisionConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_global_layers=1,
        attention_heads=4,
        intermediate_size=48,
        vision_output_dim=64,
        image_size=56,
        patch_size=14,
        max_num_tiles=TILES,
        intermediate_layers_indices=[1],
        supported_aspect_ratios=[[1, 1], [1, 2], [2, 1]],
    )
    text = module.MllamaTextConfig(**TEXT, cross_attention_layers=[1, 3])
    config = t.MllamaConfig(vision_config=vision, text_config=text, image_token_index=IMAGE)
    model = t.MllamaForConditionalGeneration._from_config(config, attn_implementation="sdpa")
    for name, parameter in model.named_parameters():
        if name.endswith(("attn_gate", "mlp_gate")):
            parameter.data.fill_(0.5)
    return finish(model)


def inputs(rows: int) -> dict[str, torch.Tensor]:
    """Prompts of one picture of two tiles; the first row's picture fills one tile only."""
    generator = torch.Generator().manual_seed(0)
    words = torch.randint(FIRST_WORD, WORDS, (rows, 6), generator=generator)
    ids = torch.cat([torch.tensor([[START, IMAGE]]).expand(rows, -1), words], dim=1)
    mask = torch.ones(rows, ids.shape[1], 1, TILES)
    mask[:, 0] = 0
    mask[0, :, :, 1] = 0
    tiles = torch.ones(rows, 1, TILES, dtype=torch.long)
    tiles[0, 0, 1] = 0
    ratios = torch.full((rows, 1), 2)
    ratios[0] = 1
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "pixel_values": torch.randn(rows, 1, TILES, 3, 56, 56, generator=generator),
        "aspect_ratio_ids": ratios,
        "aspect_ratio_mask": tiles,
        "cross_attention_mask": mask,
    }


def answer(rows: int) -> torch.Tensor:
    return torch.randint(FIRST_WORD, WORDS, (rows, 16), generator=torch.Generator().manual_seed(1))


def hide(kept: torch.Tensor, rows: int) -> Any:
    """A pre-hook of the decoder that closes the columns of dropped tokens in the mask as the model made it."""
    visible = torch.zeros(len(kept), 1 + GRID, dtype=torch.bool)
    visible[:, 0] = True
    visible.scatter_(1, kept + 1, True)
    visible = visible.view(rows, 1, 1, -1)

    def hook(decoder: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        mask = kwargs["cross_attention_mask"]
        return args, {**kwargs, "cross_attention_mask": mask.masked_fill(~visible, torch.finfo(mask.dtype).min)}

    return hook


@pytest.mark.parametrize("keep", [0.25, 0.5])
def test_dropping_equals_hidden_tokens(keep):
    model, given = mllama(), inputs(3)
    with apply(model, Plan.of(Placement("random", SITE, keep))) as handle:
        compressed = forced_logits(model, given, answer(3))
        kept = handle.selections[SITE]
    assert kept.shape == (3 * TILES, keep * GRID)
    hook = model.model.language_model.register_forward_pre_hook(hide(kept, 3), with_kwargs=True)
    expected = forced_logits(model, given, answer(3))
    hook.remove()
    plain = forced_logits(model, given, answer(3))
    assert (compressed - expected).abs().max() < 1e-5 < (plain - expected).abs().max()


def test_keeping_everything_is_bit_identical_and_removal_restores():
    model, given = mllama(), inputs(2)
    plain = forced_logits(model, given, answer(2))
    for forced in (False, True):
        with apply(model, Plan.of(Placement("random", SITE, 1.0)), force_compaction=forced):
            assert torch.equal(forced_logits(model, given, answer(2)), plain)
    assert torch.equal(forced_logits(model, given, answer(2)), plain)


def test_beams_run_on_the_keys_that_remain():
    model, given = mllama(), inputs(2)
    with apply(model, Plan.of(Placement("pool", SITE, 0.25))), torch.no_grad():
        output = model.generate(
            **given, max_new_tokens=4, num_beams=2, do_sample=False, return_dict_in_generate=True, eos_token_id=None
        )
    assert output.past_key_values.layers[1].keys.shape[2] == TILES * (1 + GRID // 4)
