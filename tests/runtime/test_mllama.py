"""Llama 3.2 Vision: dropped tokens leave the cross-attention's keys, as if its mask had hidden them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from cross_models import GRID, TILES, mllama
from cross_models import mllama_inputs as inputs
from layer_oracle import forced_logits
from live_families import FIRST_WORD, WORDS

from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.runtime import apply

SITE = "image.projector.output"


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
