"""The conflict table: complete, symmetric where it must be, and right about the passes that exist."""

from __future__ import annotations

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
from foveate.planner.conflict_schema import Relation, RuleRecord, TableRecord
from foveate.planner.conflicts import decide, discount, forbidden, rules

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
    passes = {**PASSES, "gridded": Gridded}
    assert only(Placement("random", PROJECTOR, 0.5), Placement("gridded", LAYER, 0.5), passes=passes) == "forbidden"
    assert only(Placement("pool", PROJECTOR, 0.25), Placement("gridded", LAYER, 0.5), passes=passes) != "forbidden"
    assert only(Placement("gridded", PROJECTOR, 0.5), Placement("random", LAYER, 0.5), passes=passes) != "forbidden"


def test_the_same_redundancy_twice_is_discounted() -> None:
    pair = (Placement("fastervlm", PROJECTOR, 0.5), Placement("fastv", LAYER, 0.5))
    assert only(*pair) == "discounted"
    assert 0 < discount(pair, PASSES, ONE_TURN) < 1
    assert discount((Placement("divprune", PROJECTOR, 0.5), Placement("fastv", LAYER, 0.5)), PASSES, ONE_TURN) == 1


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
