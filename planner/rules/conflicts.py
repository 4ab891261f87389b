"""Conflicts between placements: one table of rules as data, and what it decides for a plan."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from itertools import combinations

from ...common.names import unknown
from ...common.validation import validate
from ...common.yaml_lines import parse
from ...ir.placement import Placement
from ...ir.plan_schema import ConflictRecord
from ...ir.site import Site
from ...ir.workload import Workload
from ...passes import Pass
from .schema import RuleRecord, Setting, TableRecord
from .traits import Traits, traits_of


@cache
def rules() -> tuple[RuleRecord, ...]:
    """The table `conflicts.yaml`, in its order: the first rule that matches decides."""
    entry = files(__package__) / "conflicts.yaml"
    located = parse(entry.read_text(encoding="utf-8"), source="conflicts.yaml")
    return tuple(validate(TableRecord, located).rules)


def decide(
    placements: Sequence[Placement], passes: Mapping[str, type[Pass]], workload: Workload, *, quantised: bool = False
) -> tuple[ConflictRecord, ...]:
    """What the table says of every pair of `placements`, and of each one under `workload` and with these weights.

    The order in which the placements are given does not matter: pairs are read along the token flow. A pair that no
    rule knows is `unknown`, which is allowed.

    Args:
        quantised: whether the model's weights are quantised.

    Raises:
        BadInput: a placement names a pass that `passes` lacks.
    """
    decisions = _decisions(placements, passes, Setting(workload, quantised))
    return tuple(
        ConflictRecord(between=list(names), relation=rule.relation, reason=rule.reason) for names, rule in decisions
    )


def forbidden(
    placements: Sequence[Placement], passes: Mapping[str, type[Pass]], workload: Workload
) -> ConflictRecord | None:
    """The first decision that forbids these placements, None where they are allowed."""
    records = decide(placements, passes, workload)
    return next((record for record in records if record.relation == "forbidden"), None)


def discount(placements: Sequence[Placement], passes: Mapping[str, type[Pass]], workload: Workload) -> float:
    """The product of the factors of all discounted pairs; 1 where nothing is discounted.

    Stages of a schedule, and one pass on several modalities, are one method: with another one they count once, by the
    least factor.
    """
    factors: dict[tuple[object, ...], float] = {}
    for first, second in _pairs(_along_the_flow(placements, passes, workload)):
        pair = (first.method, first.site_kind, second.method, second.site_kind)
        factor = relation(first, second, workload).factor or 1.0
        factors[pair] = min(factor, factors.get(pair, 1.0))
    return math.prod(factors.values())


def relation(first: Traits, second: Traits, workload: Workload) -> RuleRecord:
    """The rule that decides the pair, `first` being earlier along the flow."""
    return next(rule for rule in rules() if not rule.single and matches(rule, first, second, Setting(workload)))


def matches(rule: RuleRecord, first: Traits, second: Traits, setting: Setting) -> bool:
    """Whether a rule about pairs holds for this one."""
    if not rule.concerns(setting) or not all(_shared(what, first, second) for what in rule.shares):
        return False
    forwards = rule.first.holds(first) and rule.second.holds(second)
    backwards = rule.first.holds(second) and rule.second.holds(first)
    return forwards or (rule.either_order and backwards)


def _decisions(
    placements: Sequence[Placement], passes: Mapping[str, type[Pass]], setting: Setting
) -> Iterator[tuple[tuple[str, str], RuleRecord]]:
    traits = _along_the_flow(placements, passes, setting.workload)
    for _, item in traits:
        for rule in rules():
            if rule.single and rule.concerns(setting) and rule.first.holds(item):
                yield (item.label, _cause(rule, setting)), rule
    for first, second in _pairs(traits):
        yield (first.label, second.label), relation(first, second, setting.workload)


def _along_the_flow(
    placements: Sequence[Placement], passes: Mapping[str, type[Pass]], workload: Workload
) -> list[tuple[Placement, Traits]]:
    ordered = sorted(placements, key=lambda p: (Site.parse(p.site).depth, p.site, p.method))
    return [(placement, traits_of(placement, _known(placement, passes), workload)) for placement in ordered]


def _pairs(traits: Sequence[tuple[Placement, Traits]]) -> Iterator[tuple[Traits, Traits]]:
    for (one, first), (other, second) in combinations(traits, 2):
        if one.group is None or one.group != other.group:  # stages of one schedule are one method
            yield first, second


def _cause(rule: RuleRecord, setting: Setting) -> str:
    """What about the setting a rule on a single placement minds."""
    if rule.quantised:
        return "quantised weights"
    return f"task={setting.workload.task}" if rule.tasks else f"turns={setting.workload.turns}"


def _known(placement: Placement, passes: Mapping[str, type[Pass]]) -> type[Pass]:
    if placement.method not in passes:
        raise unknown("pass", placement.method, passes)
    return passes[placement.method]


def _shared(what: str, first: Traits, second: Traits) -> bool:
    if what == "site":
        return first.site == second.site
    if what == "modality":
        return bool(set(first.modalities) & set(second.modalities))
    return bool(set(first.consumes) & set(second.consumes))
