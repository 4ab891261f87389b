"""The conflict table: complete, symmetric where it must be, and right about the passes that exist."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations, product
from typing import get_args

import pytest
from pydantic import ValidationError

from foveate.common.errors import BadInput
from foveate.ir.layout import Layout
from foveate.ir.op import Op
from foveate.ir.placement import Placement
from foveate.ir.workload import Images, Workload
from foveate.passes import REGISTRY, Compression, Pass, Tokens
from foveate.planner.rules.conflicts import decide, discount, forbidden, matches, relation, rules
from foveate.planner.rules.schema import Relation, RuleRecord, Setting, TableRecord
from foveate.planner.rules.traits import Traits, traits_of

PASSES = REGISTRY.items()
ONE_TURN = Workload(images=(Images(1, 224, 224),))
PROJECTOR, LAYER = "image.projector.output", "decoder.layers.2"


class Gridded(Pass):
    """A pass that needs the grid."""

    name = "gridded"
    source = summary = mechanism = "test"
    needs_grid = True

    def ops(self, layout: Layout, width: int) -> tuple[Op, ...]:
        return ()

    def compress(self, tokens: Tokens, target: Layout) -> Compression:
        raise NotImplementedError


class Frames(Gridded):
    """A pass that compares frames."""

    name = "frames"
    needs_grid = False
    modalities = ("video",)
    consumes = ("temporal",)


class Headless(Gridded):
    """A pass that takes [CLS] away."""

    name = "headless"
    needs_grid = False

    def count(self, layout: Layout, keep: float) -> Layout:
        return replace(layout.kept(keep), prefix=0)


ENCODER = "image.encoder.layers.1"


def only(*placements: Placement, workload: Workload = ONE_TURN, passes: dict[str, type[Pass]] | None = None) -> str:
    records = decide(placements, passes or PASSES, workload)
    assert len(records) == 1
    return records[0].relation


def test_the_table_uses_its_whole_vocabulary() -> None:
    assert {rule.relation for rule in rules()} == set(get_args(Relation))
    assert len({rule.name for rule in rules()}) == len(rules())


@pytest.mark.parametrize("first", REGISTRY.names())
@pytest.mark.parametrize("second", REGISTRY.names())
def test_every_pair_is_decided_whatever_the_order_given(first: str, second: str) -> None:
    sites = [(a, b) for a, b in product((PROJECTOR, LAYER), repeat=2)]
    for one, other in sites:
        pair = (Placement(first, one, 0.5), Placement(second, other, 0.5))
        forwards, backwards = (decide(order, PASSES, ONE_TURN) for order in permutations(pair))
        assert forwards == backwards
        assert len(forwards) == 1


def test_one_site_takes_one_pass() -> None:
    assert only(Placement("random", PROJECTOR, 0.5), Placement("pool", PROJECTOR, 0.5)) == "forbidden"
    assert only(Placement("random", LAYER, 0.5), Placement("pool", LAYER, 0.5)) == "forbidden"


def test_one_site_takes_one_pass_for_each_modality() -> None:
    both = Workload.parse("image=1x224x224,audio=3s")
    image, audio = (Placement(n, LAYER, 0.5, modality=(m,)) for n, m in (("random", "image"), ("pool", "audio")))
    assert only(image, audio, workload=both) == "unknown"


def test_a_grid_that_was_destroyed_is_missed_later_but_not_before() -> None:
    passes: dict[str, type[Pass]] = {**PASSES, "gridded": Gridded}
    assert only(Placement("random", PROJECTOR, 0.5), Placement("gridded", LAYER, 0.5), passes=passes) == "forbidden"
    assert only(Placement("pool", PROJECTOR, 0.25), Placement("gridded", LAYER, 0.5), passes=passes) != "forbidden"
    assert only(Placement("gridded", PROJECTOR, 0.5), Placement("random", LAYER, 0.5), passes=passes) != "forbidden"


def test_frames_that_were_destroyed_are_missed_later() -> None:
    passes: dict[str, type[Pass]] = {**PASSES, "frames": Frames}
    work = Workload.parse("video=8x224x224")
    frames = Placement("frames", LAYER, 0.5)
    assert only(Placement("random", "video.projector.output", 0.5), frames, workload=work, passes=passes) == "forbidden"
    kept = Placement("uniform-frames", "video.input", 0.5)
    assert only(kept, frames, workload=work, passes=passes) != "forbidden"


def test_a_cls_token_that_was_destroyed_is_missed_later() -> None:
    passes: dict[str, type[Pass]] = {**PASSES, "headless": Headless}
    pair = (Placement("headless", ENCODER, 0.5), Placement("fastervlm", PROJECTOR, 0.5))
    (record,) = decide(pair, passes, ONE_TURN)
    assert (record.relation, "[CLS]" in record.reason) == ("forbidden", True)
    (record,) = decide((Placement("random", ENCODER, 0.5), pair[1]), passes, ONE_TURN)
    assert "[CLS]" not in record.reason


def test_an_encoder_that_saw_fewer_tokens_is_not_read_later() -> None:
    reader = Placement("fastervlm", PROJECTOR, 0.5)
    assert only(Placement("random", ENCODER, 0.5), reader) == "forbidden"
    assert only(Placement("downsample", "image.input", 0.5), reader) != "forbidden"
    assert only(Placement("downsample", "image.input", 0.5), Placement("random", ENCODER, 0.5)) != "forbidden"
    assert only(Placement("random", ENCODER, 0.5), Placement("divprune", PROJECTOR, 0.5)) != "forbidden"


def test_keys_of_tokens_that_were_merged_are_missed_later() -> None:
    reader = Placement("visionzip", PROJECTOR, 0.5)
    assert only(Placement("pool", "image.encoder.output", 0.25), reader) == "forbidden"
    assert only(Placement("random", "image.encoder.output", 0.25), reader) != "forbidden"


def test_one_policy_owns_the_cache() -> None:
    caches = [name for name, cls in PASSES.items() if "decoder.cache" in cls.sites]
    assert len(caches) >= 2
    assert only(*(Placement(name, "decoder.cache", 0.5) for name in caches[:2])) == "forbidden"


@pytest.mark.parametrize("task", ["grounding", "ocr"])
def test_merging_is_forbidden_where_places_matter(task: str) -> None:
    work = Workload.parse(f"image=1x224x224,task={task}")
    found = forbidden((Placement("pool", PROJECTOR, 0.25),), PASSES, work)
    assert found is not None
    assert found.between == [f"pool@{PROJECTOR}", f"task={task}"]
    assert forbidden((Placement("divprune", PROJECTOR, 0.25),), PASSES, work) is None
    assert forbidden((Placement("pool", PROJECTOR, 0.25),), PASSES, ONE_TURN) is None


def test_quantised_weights_are_noted_and_allowed() -> None:
    placement = Placement("divprune", PROJECTOR, 0.25)
    (record,) = decide((placement,), PASSES, ONE_TURN, quantised=True)
    assert (record.between[1], record.relation) == ("quantised weights", "unknown")
    assert decide((placement,), PASSES, ONE_TURN) == ()


def every_trait() -> list[Traits]:
    """Every registered pass at every kind of site that it takes."""
    sites = {
        "input": "{}.input",
        "encoder.layer": "{}.encoder.layers.1",
        "encoder.layer.mid": "{}.encoder.layers.1.mid",
        "encoder.output": "{}.encoder.output",
        "projector.output": "{}.projector.output",
        "decoder.layer": "decoder.layers.2",
        "decoder.cache": "decoder.cache",
    }
    places = ((n, c, sites[kind].format(c.modalities[0])) for n, c in PASSES.items() for kind in c.sites)
    return [traits_of(Placement(n, site, 0.0 if c.withdraws else 0.5), c, ONE_TURN) for n, c, site in places]


def test_rules_for_either_order_are_symmetric_over_all_registered_pairs() -> None:
    setting, seen = Setting(ONE_TURN), set()
    for rule in rules():
        for first, second in product(every_trait(), repeat=2):
            if rule.either_order and not rule.single:
                there, back = (matches(rule, *pair, setting) for pair in ((first, second), (second, first)))
                assert there == back, (rule.name, first.label, second.label)
                seen |= {rule.name} if there else set()
    assert seen == {rule.name for rule in rules() if rule.either_order}


def test_whatever_is_shared_is_decided_alike_in_both_orders() -> None:
    """One site and the same redundancy know no order: where one order is discounted the other is no gain either."""
    for first, second in product(every_trait(), repeat=2):
        there, back = relation(first, second, ONE_TURN), relation(second, first, ONE_TURN)
        if "same-site" in (there.name, back.name):
            assert there.relation == back.relation == "forbidden"
        if there.name == "same-redundancy":
            assert back.relation in ("discounted", "forbidden")


def test_the_same_redundancy_twice_is_discounted() -> None:
    pair = (Placement("fastervlm", PROJECTOR, 0.5), Placement("fastv", LAYER, 0.5))
    assert only(*pair) == "discounted"
    assert 0 < discount(pair, PASSES, ONE_TURN) < 1
    assert discount((Placement("divprune", PROJECTOR, 0.5), Placement("fastv", LAYER, 0.5)), PASSES, ONE_TURN) == 1


def test_a_schedule_is_discounted_once() -> None:
    first, stage = Placement("fastervlm", PROJECTOR, 0.5), Placement("fastv", LAYER, 0.5, group="a")
    schedule = (first, stage, replace(stage, site="decoder.layers.9"))
    assert discount(schedule, PASSES, ONE_TURN) == discount((first, stage), PASSES, ONE_TURN) < 1


def test_encoder_signals_act_before_the_decoder() -> None:
    assert only(Placement("fastervlm", PROJECTOR, 0.5), Placement("divprune", LAYER, 0.5)) == "ordered"


def test_nothing_can_act_after_a_withdrawal_but_before_it() -> None:
    vtw = Placement("vtw", "decoder.layers.3", 0.0)
    assert only(vtw, Placement("fastv", "decoder.layers.4", 0.5)) == "forbidden"
    assert only(vtw, Placement("divprune", PROJECTOR, 0.5)) == "unknown"
    assert only(vtw, Placement("divprune", LAYER, 0.5)) == "unknown"


def test_unknown_is_not_forbidden() -> None:
    pair = (Placement("divprune", PROJECTOR, 0.5), Placement("fastv", LAYER, 0.5))
    assert only(*pair) == "unknown"
    assert forbidden(pair, PASSES, ONE_TURN) is None


def test_query_aware_passes_are_forbidden_in_longer_dialogues_only() -> None:
    fastv = (Placement("fastv", LAYER, 0.5),)
    assert decide(fastv, PASSES, ONE_TURN) == ()
    found = forbidden(fastv, PASSES, Workload(images=ONE_TURN.images, turns=2))
    assert found is not None
    assert found.between == ["fastv@decoder.layers.2", "turns=2"]
    assert forbidden((Placement("divprune", LAYER, 0.5),), PASSES, Workload(images=ONE_TURN.images, turns=2)) is None


def test_an_unknown_pass_is_named() -> None:
    with pytest.raises(BadInput, match="did you mean 'divprune'"):
        decide((Placement("divprun", PROJECTOR, 0.5),), PASSES, ONE_TURN)


def test_a_table_that_leaves_pairs_undecided_is_refused() -> None:
    kept = [rule for rule in rules() if rule.name != "no-rule"]
    with pytest.raises(ValidationError, match="must match every pair"):
        TableRecord(rules=kept)


@pytest.mark.parametrize(
    ("relation", "factor"), [("discounted", None), ("unknown", 0.5), ("discounted", 1.5), ("sometimes", None)]
)
def test_a_rule_that_contradicts_itself_is_refused(relation: str, factor: float | None) -> None:
    with pytest.raises(ValidationError):
        RuleRecord.model_validate({"name": "x", "relation": relation, "factor": factor, "reason": "y"})
