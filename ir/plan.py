"""Plans: what to compress, where and how much, with the evidence beside it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..common.errors import BadInput
from ..common.files import write_whole
from ..common.validation import validate
from ..common.yaml_lines import Located, dump, parse
from ..common.yaml_lines import load as load_yaml
from .budget import Budget
from .placement import Placement
from .plan_schema import (
    SCHEMA_VERSION,
    AblationRecord,
    ConflictRecord,
    DeviceRecord,
    FidelityRecord,
    MeasuredRecord,
    ModelRecord,
    PlacementRecord,
    PlanRecord,
    PredictedRecord,
    SearchRecord,
    WorkloadRecord,
)
from .workload import Images, Video, Workload


@dataclass(frozen=True)
class Plan:
    """A list of placements and what is known about them; everything but `placements` may be absent.

    The evidence blocks (`model`, `device`, `predicted`, `measured`, `fidelity`, `conflicts`, `ablation`, `search`) are
    the records of the file format, see docs/formats.md.

    Example:
        >>> plan = Plan.of(Placement("divprune", "image.projector.output", 0.25))
        >>> Plan.from_yaml(plan.to_yaml()) == plan
        True
    """

    placements: tuple[Placement, ...]
    model: ModelRecord | None = None
    workload: Workload | None = None
    device: DeviceRecord | None = None
    budget: tuple[Budget, ...] = ()
    predicted: PredictedRecord | None = None
    measured: MeasuredRecord | None = None
    fidelity: FidelityRecord | None = None
    conflicts: tuple[ConflictRecord, ...] = ()
    ablation: tuple[AblationRecord, ...] = ()
    search: SearchRecord | None = None

    @classmethod
    def of(cls, *placements: Placement) -> Plan:
        """A plan of bare placements."""
        return cls(placements)

    @classmethod
    def from_yaml(cls, text: str, *, source: str = "<plan>") -> Plan:
        """The plan that YAML `text` states; `source` names it in errors.

        Raises:
            BadInput: malformed, with the line and how to mend it.
        """
        return cls._from_located(parse(text, source=source))

    @classmethod
    def _from_located(cls, located: Located) -> Plan:
        version = located.data.get("foveate", SCHEMA_VERSION) if isinstance(located.data, dict) else SCHEMA_VERSION
        if type(version) is not int or version != SCHEMA_VERSION:  # True == 1 in Python
            message = f"schema version {version!r} is not one that this foveate reads"
            raise located.error(("foveate",), message, f"write foveate: {SCHEMA_VERSION}")
        record = validate(PlanRecord, located)
        return cls(
            placements=tuple(map(_placement, record.placements)),
            model=record.model,
            workload=None if record.workload is None else _workload(record.workload),
            device=record.device,
            budget=tuple(map(Budget.parse, record.budget)),
            predicted=record.predicted,
            measured=record.measured,
            fidelity=record.fidelity,
            conflicts=tuple(record.conflicts),
            ablation=tuple(record.ablation),
            search=record.search,
        )

    def to_yaml(self) -> str:
        """The plan as YAML text, keys in the order of docs/formats.md, absent blocks left out."""
        return dump(self.to_data())

    def to_data(self) -> dict[str, Any]:
        """The plan as plain dictionaries and lists, the form that `to_yaml` writes.

        Raises:
            BadInput: the plan was made in Python with a value that no plan file may hold.
        """
        try:
            data = self._record().model_dump(by_alias=True, exclude_none=True)
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]
            field = ".".join(map(str, fault["loc"]))
            raise BadInput(f"this plan cannot be written: {field} is {fault['input']!r}; {fault['msg']}") from error
        return {key: value for key, value in data.items() if key == "placements" or value != []}

    def _record(self) -> PlanRecord:
        return PlanRecord(
            foveate=SCHEMA_VERSION,
            placements=[_placement_record(p) for p in self.placements],
            model=self.model,
            workload=None if self.workload is None else _workload_record(self.workload),
            device=self.device,
            budget=[str(b) for b in self.budget],
            predicted=self.predicted,
            measured=self.measured,
            fidelity=self.fidelity,
            conflicts=list(self.conflicts),
            ablation=list(self.ablation),
            search=self.search,
        )

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the plan to `path`, whole or not at all; returns the path."""
        return write_whole(path, self.to_yaml())

    def with_placements(self, placements: Sequence[Placement]) -> Plan:
        """The same plan with other placements."""
        return replace(self, placements=tuple(placements))


def load(source: str | os.PathLike[str] | Plan) -> Plan:
    """Read a plan file; a `Plan` is returned as it is.

    Raises:
        BadInput: no such file, or it is no plan; the sentence names the line and the mend.
    """
    if isinstance(source, Plan):
        return source
    if not isinstance(source, (str, os.PathLike)):
        raise BadInput(f"a plan is a Plan or the path of a plan file, not {type(source).__name__}")
    return Plan._from_located(load_yaml(source))


def _placement(record: PlacementRecord) -> Placement:
    modality = (record.modality,) if isinstance(record.modality, str) else record.modality
    return Placement(
        method=record.method,
        site=record.site,
        keep=record.keep,
        params=record.params,
        modality=None if modality is None else tuple(modality),
        group=record.group,
        tokens_in=record.tokens_in,
        tokens_out=record.tokens_out,
        note=record.note,
    )


def _placement_record(placement: Placement) -> PlacementRecord:
    modality = placement.modality
    return PlacementRecord(
        method=placement.method,
        site=placement.site,
        keep=placement.keep,
        params=dict(placement.params),
        modality=modality[0] if modality and len(modality) == 1 else None if modality is None else list(modality),
        group=placement.group,
        tokens_in=placement.tokens_in,
        tokens_out=placement.tokens_out,
        note=placement.note,
    )


def _workload(record: WorkloadRecord) -> Workload:
    return Workload(
        images=tuple(Images(i.count, i.height, i.width) for i in record.images),
        videos=tuple(Video(v.frames, v.height, v.width) for v in record.videos),
        audio_seconds=tuple(record.audio_seconds),
        **record.model_dump(exclude={"images", "videos", "audio_seconds"}),
    )


def _workload_record(workload: Workload) -> WorkloadRecord:
    return WorkloadRecord.model_validate(
        {
            "images": [vars(i) for i in workload.images],
            "videos": [vars(v) for v in workload.videos],
            "audio_seconds": list(workload.audio_seconds),
            "text_tokens": workload.text_tokens,
            "new_tokens": workload.new_tokens,
            "batch": workload.batch,
            "turns": workload.turns,
            "concurrency": workload.concurrency,
            "task": workload.task,
        }
    )
