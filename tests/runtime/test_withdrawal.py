"""Withdrawing every media token at one layer equals hiding them all from that layer on."""

from __future__ import annotations

import pytest
import torch
from hidden_tokens import HiddenTokens
from tiny import IMAGE_TOKEN, batch, tiny_llava

from foveate.common.errors import BadInput
from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.runtime import apply


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("layer", [1, 3])
def test_it_is_exact_in_the_prefill_and_in_every_step(layer: int, side: str) -> None:
    model, inputs = tiny_llava(), batch([(1, 4), (2, 6), (1, 9)], side=side)
    pictures = inputs.pop("pixel_values")
    oracle = HiddenTokens(model, {layer: inputs["input_ids"] == IMAGE_TOKEN}, inputs)
    steps = torch.randint(5, 60, (3, 3), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = [oracle.forward(inputs["input_ids"], pixel_values=pictures)[:, -1]]
        expected += [oracle.forward(ids[:, None])[:, -1] for ids in steps]
        with apply(model, Plan.of(Placement("vtw", f"decoder.layers.{layer}", 0.0))) as handle:
            positions = inputs["attention_mask"].cumsum(1).sub(1).clamp(min=0)
            out = model(**inputs, pixel_values=pictures, position_ids=positions, use_cache=True)
            found, mask = [out.logits[:, -1]], inputs["attention_mask"]
            kept = handle.selections[f"decoder.layers.{layer}"]
            for ids in steps:
                mask = torch.cat([mask, torch.ones(3, 1, dtype=mask.dtype)], dim=1)
                step = {"attention_mask": mask, "position_ids": mask.cumsum(1)[:, -1:] - 1}
                out = model(ids[:, None], **step, past_key_values=out.past_key_values, use_cache=True)
                found.append(out.logits[:, -1])
    assert kept.shape == (4, 0)
    start = 0 if side == "left" else 1  # the last column of a row that is padded on the right is no prompt token
    torch.testing.assert_close(torch.stack(found[start:]), torch.stack(expected[start:]), rtol=1e-5, atol=1e-5)


def test_every_other_pass_keeps_something_and_this_one_nothing_in_between() -> None:
    model = tiny_llava()
    with pytest.raises(BadInput, match="must be above 0"):
        apply(model, Plan.of(Placement("fastv", "decoder.layers.1", 0.0)))
    with pytest.raises(BadInput, match="set it to 0"), apply(model, Plan.of(Placement("vtw", "decoder.layers.1", 0.5))):
        model(**batch([(1, 4)]))
