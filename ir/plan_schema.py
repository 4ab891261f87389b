"""The plan file's schema (YAML at the boundary); `ir.plan` turns it into frozen dataclasses."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ..common.errors import BadInput
from .budget import Budget
from .site import MODALITIES, Site
from .workload import Task

SCHEMA_VERSION = 1


class Record(BaseModel):
    """Base of every mapping in a plan: unknown keys are refused, numbers are finite."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, strict=False, populate_by_name=True)


class PlacementRecord(Record):
    """One entry of `placements`."""

    method: str = Field(alias="pass", min_length=1)
    site: str
    keep: Annotated[float, Field(ge=0, le=1, strict=True)]
    params: dict[str, Any] = Field(default_factory=dict)
    modality: str | list[str] | None = None
    group: str | None = None
    tokens_in: Annotated[int, Field(ge=0)] | None = None
    tokens_out: Annotated[int, Field(ge=0)] | None = None
    note: str | None = None

    @field_validator("site")
    @classmethod
    def _site(cls, text: str) -> str:
        return str(_checked(Site.parse, text))

    @field_validator("modality")
    @classmethod
    def _modality(cls, value: str | list[str] | None) -> str | list[str] | None:
        for name in [value] if isinstance(value, str) else value or []:
            if name not in MODALITIES:
                raise ValueError(f"{name!r} is no modality; it is one of {', '.join(MODALITIES)}")
        return value


class ModelRecord(Record):
    """Which model the plan is for."""

    name: str
    type: str
    fingerprint: str


class ImagesRecord(Record):
    """`count` pictures of one size."""

    count: Annotated[int, Field(ge=1)] = 1
    height: Annotated[int, Field(ge=1)]
    width: Annotated[int, Field(ge=1)]


class VideoRecord(Record):
    """One clip."""

    frames: Annotated[int, Field(ge=1)]
    height: Annotated[int, Field(ge=1)]
    width: Annotated[int, Field(ge=1)]


class WorkloadRecord(Record):
    """The request that counts and predictions are for."""

    images: list[ImagesRecord] = Field(default_factory=list)
    videos: list[VideoRecord] = Field(default_factory=list)
    audio_seconds: list[Annotated[float, Field(gt=0)]] = Field(default_factory=list)
    text_tokens: Annotated[int, Field(ge=0)] = 32
    new_tokens: Annotated[int, Field(ge=0)] = 16
    batch: Annotated[int, Field(ge=1)] = 1
    turns: Annotated[int, Field(ge=1)] = 1
    concurrency: Annotated[int, Field(ge=1)] = 1
    task: Task = "general"


class DeviceRecord(Record):
    """Which device profile the predictions are for."""

    name: str
    dtype: str
    profile: Literal["measured", "datasheet", "prior"]


class StageRecord(Record):
    """Predicted time of one stage."""

    name: str
    ms: float
    tokens: int


class PredictedRecord(Record):
    """The cost model's figures for the plan, and for the uncompressed model beside them."""

    ttft_ms: float
    tpot_ms: float
    memory_bytes: int
    interval: list[float] = Field(default_factory=list, max_length=2)
    stages: list[StageRecord] = Field(default_factory=list)
    baseline_ttft_ms: float | None = None
    baseline_tpot_ms: float | None = None
    baseline_memory_bytes: int | None = None


class MeasuredRecord(Record):
    """Figures of the live model: median TTFT, its ratio to the uncompressed model, interval of the ratio.

    `tpot_ms` where a budget needed it; `peak_bytes` is that of one prefill.
    """

    ttft_ms: float
    ratio: float
    interval: list[float] = Field(default_factory=list, max_length=2)
    n: int
    machine: str
    baseline_ttft_ms: float | None = None
    tpot_ms: float | None = None
    baseline_tpot_ms: float | None = None
    peak_bytes: int | None = None
    baseline_peak_bytes: int | None = None


class FidelityRecord(Record):
    """How faithful the compressed model is, and how that is known.

    `error` is that of a prior on sources that its fit has not seen, `note` what else to know of the value.
    """

    kind: Literal["measured", "task", "prior"]
    value: float
    interval: list[float] = Field(default_factory=list, max_length=2)
    top1: float | None = None
    samples: int
    error: float | None = None
    note: str | None = None


class ConflictRecord(Record):
    """One decision of the conflict table."""

    between: list[str] = Field(min_length=2, max_length=2)
    relation: Literal["forbidden", "ordered", "discounted", "unknown"]
    reason: str


class AblationRecord(Record):
    """The plan without some of its placements: predicted TTFT, and fidelity known as `kind` says."""

    without: list[str] = Field(min_length=1)
    ttft_ms: float
    fidelity: float
    kind: Literal["measured", "task", "prior"]


class RunnerUpRecord(Record):
    """Another plan that the search tried: its placements in words, its value in the search, its predicted TTFT."""

    plan: str
    value: float
    ttft_ms: float


class SearchRecord(Record):
    """How the plan was found, and the best of what was not chosen.

    `sampler`: of the study, empty where nothing was measured and none ran. `considered`: combinations at every
    count that the cost model was asked about. `front`: of all plans tried those that no other one beats in both
    predicted TTFT and value. `pace`: measured over predicted figure by budget, by which the search moved its limits, so
    that what is predicted for `front` and `runners_up` may lie past the budget. `left_out`: passes that the model does
    not take, with the reason.
    """

    seed: int
    trials: int
    evaluated: int
    study: str = ""
    sampler: str = "tpe"
    considered: int = 0
    pace: dict[str, float] = Field(default_factory=dict)
    front: list[RunnerUpRecord] = Field(default_factory=list)
    runners_up: list[RunnerUpRecord] = Field(default_factory=list)
    left_out: dict[str, str] = Field(default_factory=dict)


class PlanRecord(Record):
    """A plan file."""

    foveate: Literal[1]
    placements: list[PlacementRecord]
    model: ModelRecord | None = None
    workload: WorkloadRecord | None = None
    device: DeviceRecord | None = None
    budget: list[str] = Field(default_factory=list)
    predicted: PredictedRecord | None = None
    measured: MeasuredRecord | None = None
    fidelity: FidelityRecord | None = None
    conflicts: list[ConflictRecord] = Field(default_factory=list)
    ablation: list[AblationRecord] = Field(default_factory=list)
    search: SearchRecord | None = None

    @field_validator("budget")
    @classmethod
    def _budget(cls, texts: list[str]) -> list[str]:
        return [str(_checked(Budget.parse, text)) for text in texts]


def _checked(parse: Any, text: str) -> Any:
    """Run one of our parsers inside pydantic, which wants its complaints as ValueError."""
    try:
        return parse(text)
    except BadInput as error:
        raise ValueError(str(error)) from error
