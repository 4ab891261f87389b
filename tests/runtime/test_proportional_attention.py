"""Merged tokens that attention counts by their size, against the unmodified model with the same means and scores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pytest
import torch
from hidden_tokens import HiddenTokens, dropped_mask
from tiny import IMAGE_TOKEN, batch, tiny_llava
from transformers import StaticCache

from foveate.common.errors import BadInput
from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.passes import Compression, Pass
from foveate.passes.base import REGISTRY
from foveate.passes.primitives.costs import merge_op
from foveate.runtime import apply

LAYER, SITE, STEPS = 2, "decoder.layers.2", 5
ROWS = {"one row": ([(1, 6)], "left"), "ragged left": ([(1, 4), (2, 6)], "left"), "right": ([(1, 4), (2, 6)], "right")}


@dataclass(frozen=True)
class Triples(Pass):
    """Merge each three neighbours, but the last ones, which stay."""

    name = "triples"
    source = "a test"
    summary = "merge threes"
    mechanism = "mixed"
    sites = ("decoder.layer",)

    counts: bool = True

    def ops(self, layout, width):
        """The merge."""
        return (merge_op(width),)

    def compress(self, tokens, target):
        """Groups of three in the front, single tokens behind."""
        total, kept = tokens.layout.count, target.count
        threes = (total - kept) // 2
        assign = torch.tensor([min(i // 3, threes) + max(0, i - 3 * threes) for i in range(total)])
        index = torch.tensor([assign.tolist().index(k) for k in range(kept)])
        return Compression(index.expand(len(tokens.features), -1), assign.expand(len(tokens.features), -1))

    @property
    def weighs_attention(self):
        """As the parameter says."""
        return self.counts


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    REGISTRY.names()  # loads what is registered anyway
    monkeypatch.setitem(REGISTRY._items, Triples.name, Triples)


class MergedTokens(HiddenTokens):
    """The unmodified model, its media tokens replaced by means from `LAYER` on, whose columns get log(size)."""

    def __init__(self, model, hidden, inputs, *, threes: int, counts: bool) -> None:
        super().__init__(model, hidden, inputs)
        places = (inputs["input_ids"] == IMAGE_TOKEN).reshape(-1).nonzero()[:, 0].view(-1, 16)
        self.groups = places[:, : 3 * threes].reshape(-1, 3)
        sizes = torch.ones(inputs["input_ids"].numel())
        sizes[self.groups[:, 0]] = 3.0 if counts else 1.0
        self.sizes = sizes.view_as(inputs["input_ids"])

    @contextmanager
    def _masks(self, new: int) -> Iterator[None]:
        def enter(layer, args, kwargs):
            if self.seen:
                return None
            flat = args[0].reshape(-1, args[0].shape[-1]).clone()
            flat[self.groups[:, 0]] = flat[self.groups].mean(dim=1)
            return (flat.view_as(args[0]), *args[1:]), kwargs

        handle = self.model.get_decoder().layers[LAYER].register_forward_pre_hook(enter, with_kwargs=True)
        try:
            with super()._masks(new):
                yield
        finally:
            handle.remove()

    def _mask(self, new: int, *, layer: int) -> torch.Tensor:
        mask = super()._mask(new, layer=layer)
        if mask.dtype == torch.bool:
            mask = torch.zeros(mask.shape).masked_fill(~mask, torch.finfo(torch.float32).min)
        if layer >= LAYER:
            mask[..., : self.sizes.shape[1]] += self.sizes.log()[:, None, None]
        return mask


def expected_logits(model, inputs, steps, *, kept: int, counts: bool) -> list[torch.Tensor]:
    """Logits of the last prompt token and of each step."""
    method = Triples(counts)
    tokens = type("T", (), {"layout": type("L", (), {"count": 16}), "features": torch.zeros(1, 16, 1)})
    index = method.compress(tokens, type("L", (), {"count": kept})).index
    media = int((inputs["input_ids"] == IMAGE_TOKEN).sum()) // 16
    hidden = {LAYER: dropped_mask(inputs, index.expand(media, -1), image_token=IMAGE_TOKEN)}
    oracle = MergedTokens(model, hidden, inputs, threes=(16 - kept) // 2, counts=counts)
    last = (inputs["attention_mask"] * torch.arange(1, inputs["attention_mask"].shape[1] + 1)).argmax(1)
    with torch.no_grad():
        whole = oracle.forward(inputs["input_ids"], pixel_values=inputs["pixel_values"])
        found = [whole[torch.arange(len(last)), last]]
        return found + [oracle.forward(steps[:, i : i + 1])[:, -1] for i in range(STEPS)]


def compressed_logits(model, plan, inputs, steps, *, cache=None) -> list[torch.Tensor]:
    """The same under the plan."""
    last = (inputs["attention_mask"] * torch.arange(1, inputs["attention_mask"].shape[1] + 1)).argmax(1)
    mask = inputs["attention_mask"]
    with torch.no_grad(), apply(model, plan) as handle:
        positions = mask.cumsum(1).sub(1).clamp(min=0)
        output = model(**inputs, position_ids=positions, use_cache=True, past_key_values=cache)
        place = (handle.positions == last[:, None]).long().argmax(1)
        found = [output.logits[torch.arange(len(place)), place]]
        for step in range(STEPS):
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
            output = model(
                input_ids=steps[:, step : step + 1],
                attention_mask=mask,
                position_ids=mask.cumsum(1)[:, -1:] - 1,
                past_key_values=output.past_key_values,
            )
            found.append(output.logits[:, -1])
    return found


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("counts", [True, False])
def test_attention_takes_a_merged_token_for_as_many_as_it_stands_for(counts, rows, attention, static) -> None:
    shape, side = ROWS[rows]
    model, inputs = tiny_llava(attention=attention), batch(shape, side=side)
    steps = torch.randint(5, 60, (len(shape), STEPS), generator=torch.Generator().manual_seed(1))
    plan = Plan.of(Placement("triples", SITE, 0.5, {"counts": counts}))
    cache = StaticCache(config=model.config.get_text_config(), max_cache_len=80) if static else None
    found = compressed_logits(model, plan, inputs, steps, cache=cache)
    expected = expected_logits(model, inputs, steps, kept=8, counts=counts)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
    others = expected_logits(model, inputs, steps, kept=8, counts=not counts)
    assert max((a - b).abs().max() for a, b in zip(expected, others, strict=True)) > 1e-4


def test_a_later_drop_carries_the_sizes_on() -> None:
    model, inputs = tiny_llava(), batch([(1, 6)])
    steps = torch.randint(5, 60, (1, STEPS), generator=torch.Generator().manual_seed(1))
    first = Placement("triples", SITE, 0.5)
    both = compressed_logits(model, Plan.of(first, Placement("random", "decoder.layers.3", 1.0)), inputs, steps)
    dropping = Plan.of(first, Placement("norm", "decoder.layers.3", 0.75))
    fewer = compressed_logits(model, dropping, inputs, steps)
    plain = replace(first, params={"counts": False})
    unweighed = compressed_logits(model, Plan.of(plain, dropping.placements[1]), inputs, steps)
    assert torch.equal(both[0], compressed_logits(model, Plan.of(first), inputs, steps)[0])
    assert all((one - other).abs().max() > 1e-5 for one, other in zip(fewer, unweighed, strict=True))


def test_pact_runs_weighed_and_flash_attention_is_refused(monkeypatch) -> None:
    model, inputs = tiny_llava(), batch([(1, 6)])
    steps = torch.randint(5, 60, (1, STEPS), generator=torch.Generator().manual_seed(1))
    logits = {
        name: compressed_logits(model, Plan.of(Placement(name, SITE, 0.25)), inputs, steps)
        for name in ("pact", "pact-unweighted")
    }
    assert (logits["pact"][-1] - logits["pact-unweighted"][-1]).abs().max() > 1e-5
    monkeypatch.setattr(model.get_decoder().config, "_attn_implementation_internal", "flash_attention_2")
    with pytest.raises(BadInput, match="flash attention does not take"):
        apply(model, Plan.of(Placement("pact", SITE, 0.25)))
