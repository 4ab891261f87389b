"""Placements with `adaptive: true` on live models: media keep different numbers, and nothing else changes."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from cross_models import mllama
from hidden_tokens import HiddenTokens, dropped_mask
from tiny import IMAGE_TOKEN, batch, tiny_llava

import foveate
from foveate.common.errors import BadInput
from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.ir.workload import Workload
from foveate.passes import Compression
from foveate.passes.adaptive import AdaptivePass
from foveate.passes.base import REGISTRY
from foveate.passes.score import ScorePass
from foveate.planner.rules.traits import traits_of
from foveate.runtime import apply, resolve
from foveate.runtime.emission.specs import emitted_sites
from foveate.runtime.export.building import compressed_encoder

SITES = {"image.projector.output": 0, "decoder.layers.1": 1}
ROWS = {
    "one row": ([(1, 6)], "left"),
    "two images": ([(2, 5)], "left"),
    "ragged left": ([(1, 4), (3, 6), (2, 9), (1, 3)], "left"),
    "ragged right": ([(1, 4), (3, 6), (2, 9), (1, 3)], "right"),
}
STEPS = 6


@dataclass(frozen=True)
class LongerThanMean(AdaptivePass, ScorePass):
    """Keep the tokens whose norm is above the mean norm of their medium."""

    name = "longer-than-mean"
    source = "a test"
    summary = "keep the tokens longer than the mean"
    mechanism = "similarity"
    consumes = ("feature",)

    def score(self, tokens):
        """The norm of each token."""
        return tokens.features.float().norm(dim=-1)

    def published(self, tokens):
        """Those above the mean."""
        norms = self.score(tokens)[0]
        return Compression((norms > norms.mean()).nonzero().T)


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    REGISTRY.names()  # loads what is registered anyway
    monkeypatch.setitem(REGISTRY._items, LongerThanMean.name, LongerThanMean)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("site", SITES)
def test_what_the_threshold_drops_equals_hidden_tokens_at_every_step(site: str, rows: str) -> None:
    shape, side = ROWS[rows]
    model, inputs = tiny_llava(), batch(shape, side=side)
    plan = Plan.of(Placement(LongerThanMean.name, site, 1.0, {"adaptive": True}))
    steps = torch.randint(5, 60, (len(shape), STEPS), generator=torch.Generator().manual_seed(1))
    last = (inputs["attention_mask"] * torch.arange(1, inputs["attention_mask"].shape[1] + 1)).argmax(1)
    with torch.no_grad(), apply(model, plan) as handle:
        found = model(**inputs, position_ids=inputs["attention_mask"].cumsum(1).sub(1).clamp(min=0), use_cache=True)
        place = (handle.positions == last[:, None]).long().argmax(1)
        logits, cache, mask = [found.logits[torch.arange(len(place)), place]], found.past_key_values, None
        mask = inputs["attention_mask"]
        for step in range(STEPS):
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
            positions = mask.cumsum(1)[:, -1:] - 1
            ids = steps[:, step : step + 1]
            found = model(input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache)
            logits.append(found.logits[:, -1])
        kept = handle.selections[site]
    counts = (kept >= 0).sum(dim=1)
    assert len(kept) == sum(images for images, _ in shape)
    assert len(kept) < 4 or len(set(counts.tolist())) > 1
    oracle = HiddenTokens(model, {SITES[site]: dropped_mask(inputs, kept, image_token=IMAGE_TOKEN)}, inputs)
    with torch.no_grad():
        whole = oracle.forward(inputs["input_ids"], pixel_values=inputs["pixel_values"])
        expected = [whole[torch.arange(len(last)), last]]
        expected += [oracle.forward(steps[:, step : step + 1])[:, -1] for step in range(STEPS)]
    for one, other in zip(logits, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("method", ["prumerge-plus", "pact-unweighted"])
def test_media_of_a_batch_come_out_as_they_do_alone(method: str) -> None:
    model, site = tiny_llava(), "image.projector.output" if method == "prumerge-plus" else "decoder.layers.1"
    params = {"adaptive": True} | ({"cutoff": 0.9} if method == "pact-unweighted" else {"neighbours": 4})
    inputs = batch([(1, 5), (1, 5), (1, 5)])
    with torch.no_grad(), apply(model, Plan.of(Placement(method, site, 1.0, params))) as handle:
        together = model(**inputs, use_cache=False).logits[:, -1]
        kept = handle.selections[site]
        for row in range(3):
            alone = {name: value[row : row + 1] for name, value in inputs.items()}
            torch.testing.assert_close(model(**alone, use_cache=False).logits[:, -1], together[row : row + 1])
            assert handle.selections[site][0].tolist() == [i for i in kept[row].tolist() if i >= 0]


def test_a_later_pass_keeps_its_share_of_what_each_medium_has_left() -> None:
    model, inputs = tiny_llava(), batch([(1, 5), (2, 5)])
    first = Placement(LongerThanMean.name, "image.projector.output", 1.0, {"adaptive": True})
    with torch.no_grad(), apply(model, Plan.of(first, Placement("random", "decoder.layers.2", 0.5))) as handle:
        model(**inputs, use_cache=False)
        before, after = (handle.selections[site] for site in ("image.projector.output", "decoder.layers.2"))
    for early, late in zip(before.tolist(), after.tolist(), strict=True):
        left = {i for i in late if i >= 0}
        assert left <= set(early)
        assert len(left) == max(1, int(0.5 * sum(i >= 0 for i in early) + 0.5))


def test_a_plan_counts_every_token_as_staying_and_the_pass_as_working() -> None:
    graph = foveate.trace(tiny_llava(), workload="image=1x56x56,text=8,new=4")
    placed = resolve(
        graph, Plan.of(Placement("prumerge-plus", "image.projector.output", 1.0, {"adaptive": True}))
    ).placed
    assert placed[0].tokens_out == placed[0].tokens_in == 16
    assert placed[0].ops


def test_rules_know_that_a_threshold_leaves_neither_grid_nor_frames_and_that_it_merges() -> None:
    site, workload = "video.projector.output", Workload.parse("video=8x56x56")
    for params, kept in (({}, True), ({"adaptive": True}, False)):
        found = traits_of(Placement("timechat-online", site, 1.0, params), REGISTRY.get("timechat-online"), workload)
        assert found.keeps_frames is found.keeps_grid is kept
    placed = Placement("prunevid-merging", site, 1.0, {"adaptive": True})
    assert traits_of(placed, REGISTRY.get("prunevid-merging"), workload).merges


def test_a_cache_pass_keeps_its_share_of_what_each_medium_has_left() -> None:
    model, inputs = tiny_llava(), batch([(1, 5), (1, 7)])
    first = Placement(LongerThanMean.name, "image.projector.output", 1.0, {"adaptive": True})
    with torch.no_grad(), apply(model, Plan.of(first, Placement("knorm", "decoder.cache", 0.5))) as handle:
        model.generate(**inputs, max_new_tokens=3, do_sample=False)
        kept, cached = handle.selections["image.projector.output"], handle.cached
    media = inputs["input_ids"] == IMAGE_TOKEN
    for row in range(2):
        left = int((kept[row] >= 0).sum())
        places = [p for p in cached[max(cached)][row, 0].tolist() if p >= 0 and p < media.shape[1] and media[row, p]]
        assert 1 <= len(places) < left


@pytest.mark.parametrize(
    ("keep", "site", "reason"),
    [
        (0.5, "image.projector.output", "set keep to 1"),
        (1.0, "image.encoder.output", "prumerge-plus acts at projector.output"),
    ],
)
def test_what_cannot_be_adaptive_is_refused(keep: float, site: str, reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        apply(tiny_llava(), Plan.of(Placement("prumerge-plus", site, keep, {"adaptive": True})))


def test_states_of_cross_attention_cannot_keep_different_numbers() -> None:
    plan = Plan.of(Placement("prumerge-plus", "image.projector.output", 1.0, {"adaptive": True}))
    with pytest.raises(BadInput, match="every medium must keep as many tokens as the others"):
        apply(mllama(), plan)


def test_an_export_needs_counts_beforehand_and_kernels_leave_the_choice_to_the_library() -> None:
    plan = Plan.of(Placement("prumerge-plus", "image.projector.output", 1.0, {"adaptive": True}))
    graph = foveate.trace(tiny_llava(), workload="image=1x56x56,text=8,new=4")
    assert emitted_sites(graph, plan)[0].chain is None
    model, inputs = tiny_llava(), batch([(1, 5)])
    with (
        pytest.raises(BadInput, match="an export needs their number beforehand"),
        compressed_encoder(model, plan.placements, modality="image", inputs=inputs),
    ):
        pass
