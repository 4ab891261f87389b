"""The conflict table's schema: what a rule may match on, and what it may say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ...ir.workload import Task, Workload
from .traits import Traits

Relation = Literal["forbidden", "ordered", "discounted", "unknown"]
Shared = Literal["site", "modality", "redundancy"]

_FLAGS = (
    "query_aware",
    "needs_grid",
    "needs_frames",
    "keeps_grid",
    "keeps_frames",
    "keeps_cls",
    "reads_cls",
    "merges",
)
"""Conditions of a rule that are traits of the same name."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MatchRecord(_Record):
    """A condition on one placement: every key that is given must hold; of a list, one entry."""

    passes: list[str] | None = None
    mechanisms: list[str] | None = None
    consumes: list[str] | None = None
    sites: list[str] | None = None
    reads: list[Literal["encoder", "decoder"]] | None = None
    query_aware: bool | None = None
    needs_grid: bool | None = None
    needs_frames: bool | None = None
    keeps_grid: bool | None = None
    keeps_frames: bool | None = None
    keeps_cls: bool | None = None
    reads_cls: bool | None = None
    merges: bool | None = None

    def holds(self, traits: Traits) -> bool:
        """Whether `traits` meets the condition."""
        lists = (
            (self.passes, (traits.method,)),
            (self.mechanisms, (traits.mechanism,)),
            (self.consumes, traits.consumes),
            (self.sites, (traits.site_kind,)),
            (self.reads, traits.reads),
        )
        flags = ((getattr(self, name), getattr(traits, name)) for name in _FLAGS)
        return all(wanted is None or set(wanted) & set(found) for wanted, found in lists) and all(
            wanted is None or wanted == found for wanted, found in flags
        )


class RuleRecord(_Record):
    """One rule; see the head of conflicts.yaml."""

    name: str
    first: MatchRecord = MatchRecord()
    second: MatchRecord = MatchRecord()
    shares: tuple[Shared, ...] = ()
    single: bool = False
    either_order: bool = False
    turns_above: Annotated[int, Field(ge=0)] = 0
    tasks: list[Task] = Field(default_factory=list)
    quantised: bool = False
    relation: Relation
    factor: Annotated[float, Field(gt=0, lt=1)] | None = None
    reason: str

    @model_validator(mode="after")
    def _consistent(self) -> RuleRecord:
        if (self.factor is not None) != (self.relation == "discounted"):
            raise ValueError(f"rule {self.name}: a factor belongs to a discounted relation and to no other")
        if self.single and (self.second != MatchRecord() or self.shares):
            raise ValueError(f"rule {self.name}: a rule about a single placement has no second and shares nothing")
        if not self.single and (self.tasks or self.quantised):
            raise ValueError(f"rule {self.name}: tasks and quantised weights need single: true")
        return self

    def concerns(self, setting: Setting) -> bool:
        """Whether the rule speaks about this workload and these weights."""
        work = setting.workload
        asked = not self.tasks or work.task in self.tasks
        return work.turns > self.turns_above and asked and (setting.quantised or not self.quantised)


@dataclass(frozen=True)
class Setting:
    """What a plan is for, beside its placements: the workload, and whether the weights are quantised."""

    workload: Workload
    quantised: bool = False


class TableRecord(_Record):
    """The whole table; it ends with a rule that matches every pair, so that each pair is decided."""

    rules: Annotated[list[RuleRecord], Field(min_length=1)]

    @model_validator(mode="after")
    def _complete(self) -> TableRecord:
        last = self.rules[-1]
        conditional = last.first != MatchRecord() or last.second != MatchRecord() or last.shares or last.turns_above
        if last.single or conditional:
            raise ValueError("the last rule must match every pair, or some would stay undecided")
        return self
