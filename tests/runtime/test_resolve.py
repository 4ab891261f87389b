"""Resolving plans: counts and costs in the graph equal what the live model does."""

from __future__ import annotations

import pytest
import torch
from tiny import batch, tiny_config, tiny_llava

import foveate
from foveate.common.errors import BadInput
from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.runtime import apply, resolve, resolved_plan

PLANS = {
    "one": Plan.of(Placement("divprune", "image.projector.output", 0.3)),
    "pool": Plan.of(Placement("pool", "image.projector.output", 0.25)),
    "two": Plan.of(Placement("pool", "image.projector.output", 0.5), Placement("fastv", "decoder.layers.2", 0.3)),
    "three": Plan.of(*(Placement("random", f"decoder.layers.{k}", 0.5) for k in (3, 1, 2))),
    "nothing": Plan.of(Placement("random", "decoder.layers.1", 1.0)),
}


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
@pytest.mark.parametrize("images", [1, 2])
def test_counts_equal_the_live_cache(plan, images):
    model, inputs = tiny_llava(), batch([(images, 5)])
    graph = foveate.trace(model, f"image={images}x56x56,text=6,new=1")
    with torch.no_grad(), apply(model, plan):
        cache = model(**inputs, use_cache=True).past_key_values
    assert resolve(graph, plan).cached_tokens() == tuple(layer.keys.shape[2] for layer in cache.layers)


def test_a_resolved_plan_tells_its_counts():
    graph = foveate.trace(tiny_config(), "image=1x56x56,text=5,new=1")
    filled = resolved_plan(graph, PLANS["two"]).placements
    assert [(p.tokens_in, p.tokens_out) for p in filled] == [(16, 8), (8, 2)]


def test_what_a_plan_does_is_priced():
    graph = foveate.trace(tiny_config(), "image=1x56x56,text=5,new=1")
    kept, dropped = (resolve(graph, Plan.of(Placement("divprune", "image.projector.output", k))) for k in (1.0, 0.5))
    assert not kept.placed[0].ops
    names = [op.name for op in dropped.placed[0].ops]
    assert {"similarity", "greedy", "compaction.gather"} <= set(names)


@pytest.mark.parametrize(
    ("placement", "message"),
    [
        (Placement("nothing", "image.projector.output", 0.5), "unknown pass"),
        (Placement("random", "image.encoder.layers.2", 0.5), "unknown site for"),
        (Placement("fastv", "image.projector.output", 0.5), "acts at decoder.layer"),
        (Placement("random", "decoder.layers.1", 0.5, modality=("audio",)), "audio"),
        (Placement("random", "decoder.layers.1", 2.0), "keep is 2"),
    ],
)
def test_what_does_not_fit_is_refused(placement, message):
    graph = foveate.trace(tiny_config(), "image=1x56x56,text=5,new=1")
    with pytest.raises(BadInput, match=message):
        resolve(graph, Plan.of(placement))
