"""The space: what fits where, and what a decision becomes."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest

import foveate
from foveate.ir.graph import Graph
from foveate.passes import REGISTRY
from foveate.planner.rules.conflicts import forbidden
from foveate.planner.search.decision import Decision, Step, place_of
from foveate.planner.search.placements import placements_of
from foveate.planner.search.space import ALWAYS, Space
from foveate.runtime import resolve


def test_the_space_holds_what_the_passes_say(graph: Graph) -> None:
    space = Space.of(graph)
    offered = {place_of(site) for site in graph.sites()}
    for step in space.steps:
        assert step.kind in REGISTRY.get(step.method).sites
        assert set(step.places) <= offered
    assert Step("fastervlm", ("projector.output",)) in space.steps
    assert {step.kind for step in space.options["fastv"]} == {"decoder.layer"}
    assert {step.places[0] for step in space.options["fastv"]} == {f"decoder.layers.{k}" for k in range(1, 6)}


def test_every_step_can_be_placed(graph: Graph) -> None:
    space = Space.of(graph)
    for step in space.steps:
        assert resolve(graph, space.placements(Decision.of(step), 128)).placed


def test_passes_that_read_the_text_come_as_schedules_too(graph: Graph) -> None:
    space = Space.of(graph)
    staged = [step for step in space.options["pyramiddrop"] if len(step.places) == 3]
    assert staged
    placements = space.placements(Decision.of(staged[0]), 192)
    assert [p.site for p in placements] == [f"decoder.layers.{k}" for k in (1, 3, 5)]
    assert len({p.group for p in placements}) == 1
    assert placements[0].group
    placed = resolve(graph, placements).placed
    kept = [item.tokens_out / item.tokens_in for item in placed]
    assert kept == pytest.approx([0.25 ** (1 / 3)] * 3, abs=0.01)
    assert placed[-1].tokens_out == 64
    assert all(len(step.places) == 1 for step in space.options["divprune"])


def test_baselines_are_always_candidates(graph: Graph) -> None:
    space = Space.of(graph, passes=["fastv"])
    assert set(space.methods) <= {*ALWAYS, "fastv"}
    assert {"random", "uniform", "pool", "fastv"} <= set(space.methods)


def test_singles_name_each_pass_once_for_each_kind_of_site(graph: Graph) -> None:
    singles = [decision.steps[0] for decision in Space.of(graph).singles()]
    assert len({(step.method, step.kind) for step in singles}) == len(singles)
    assert Step("fastv", ("decoder.layers.2",)) in singles
    assert Step("divprune", ("projector.output",)) in singles


def test_singles_act_on_all_modalities_and_on_each_alone(both: Graph) -> None:
    space = Space.of(both, ["divprune", "vidcom2"])
    singles = {decision.steps[0] for decision in space.singles()}
    projector = {step.modality for step in singles if step.method == "divprune" and step.kind == "projector.output"}
    assert projector == {None, "image", "video"}
    assert {step.modality for step in singles if step.method == "vidcom2"} == {None}
    for single, first in zip(space.singles(), space.earliest(), strict=True):
        assert first.steps[0].depth <= single.steps[0].depth
        assert (first.methods, first.steps[0].modality) == (single.methods, single.steps[0].modality)


def test_query_aware_passes_leave_the_space_of_a_dialogue(graph: Graph) -> None:
    dialogue = replace(graph, workload=replace(graph.workload, turns=3))
    assert "fastv" not in Space.of(dialogue).methods
    assert "divprune" in Space.of(dialogue).methods


def test_pairs_are_allowed_as_the_table_says(graph: Graph) -> None:
    """Relations are remembered by kind; the table itself is asked for every pair here."""
    space = Space.of(graph, ["fastv", "divprune", "vtw"])
    for first, second in combinations(sorted(space.steps, key=lambda step: step.depth), 2):
        pair = Decision.of(first, second)
        if first.end >= second.depth:  # they would cross, which no order of flow can say
            assert not space.allowed(pair)
            continue
        placements = placements_of(graph, pair, 128)
        banned = forbidden(placements, REGISTRY.items(), graph.workload) is not None
        assert space.allowed(pair) != banned, str(pair)


def test_four_steps_are_too_many(graph: Graph) -> None:
    space = Space.of(graph, ["fastv"])
    places = [f"decoder.layers.{k}" for k in range(1, 5)]
    assert space.allowed(Decision.of(*(("random", place) for place in places[:3])))
    assert not space.allowed(Decision.of(*(("random", place) for place in places)))


def test_a_withdrawal_keeps_none(graph: Graph) -> None:
    placed = Space.of(graph).placements(Decision.of(("vtw", "decoder.layers.3")), 1)
    assert [(p.method, p.keep) for p in placed] == [("vtw", 0.0)]


@pytest.fixture(scope="module")
def both() -> Graph:
    """Pictures and a clip in one request."""
    return foveate.trace("qwen2_vl", "image=2x224x224,video=8x448x448,text=16,new=4")


def test_all_modalities_end_with_the_same_fraction(both: Graph) -> None:
    space = Space.of(both, ["divprune", "vidcom2"])
    decision = Decision.of(
        Step("divprune", ("projector.output",), "image"),
        Step("vidcom2", ("projector.output",), "video"),
        Step("divprune", ("decoder.layers.2",)),
        shares=(1, 1, 1),
    )
    placed = resolve(both, space.placements(decision, space.tokens // 2)).placed
    for modality, layout in both.layouts.items():
        counts = [item.tokens_out for item in placed if item.modality == modality]
        assert counts[-1] == pytest.approx(0.5 * layout.count, abs=1)
        assert counts[0] == pytest.approx(0.75 * layout.count, abs=1)


def test_steps_act_on_each_modality_alone_too(both: Graph) -> None:
    options: Any = Space.of(both, ["divprune"]).options["divprune"]
    assert {step.modality for step in options} == {None, "image", "video"}
    alone = next(step for step in options if step.modality == "video" and step.kind == "decoder.layer")
    (placement,) = placements_of(both, Decision.of(alone), 100)
    assert placement.modality == ("video",)


def test_what_a_live_model_refuses_is_left_out(model: Any) -> None:
    """Layer 0 has no layer before it whose change could be read, which only the runtime knows."""
    traced = foveate.trace(model, "image=1x56x56,text=8,new=5")
    space = Space.of(traced, ["representation-shift", "divprune"])
    taken = space.taken_by(model)
    refused = set(space.steps) - set(taken.steps)
    assert {(step.method, step.places) for step in refused} == {("representation-shift", ("encoder.layers.0",))}
    assert not any(module._forward_pre_hooks for module in model.modules())
