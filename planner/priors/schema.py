"""The schema of `priors/*.yaml`: what one paper's table says of compressed models beside the uncompressed one."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Score = Annotated[float, Field(gt=0)]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RowRecord(_Record):
    """One row: a method of the catalogue, `kept` of `of` tokens, and its scores by benchmark."""

    method: str
    mechanism: str
    kept: Annotated[int, Field(gt=0)]
    of: Annotated[int, Field(gt=0)]
    scores: Annotated[dict[str, Score], Field(min_length=1)]

    @model_validator(mode="after")
    def _fewer(self) -> RowRecord:
        if self.kept >= self.of:
            raise ValueError(f"{self.method}: {self.kept} of {self.of} tokens is no compression; give a row with fewer")
        return self


class SourceRecord(_Record):
    """One source.

    Attributes:
        source: its name. paper: where the survey's rows come from, as their shared columns show. table: where they were
            read. model, modality: what was compressed.
        baseline: scores of the uncompressed model by benchmark. left_out: benchmarks that are not used, and why.
        rows: the compressed models.
    """

    source: str
    paper: str | None = None
    table: str
    model: str
    modality: Literal["image", "video", "audio"]
    baseline: dict[str, Score]
    left_out: dict[str, str] = Field(default_factory=dict)
    rows: Annotated[list[RowRecord], Field(min_length=1)]

    @model_validator(mode="after")
    def _comparable(self) -> SourceRecord:
        for row in self.rows:
            missing = sorted(set(row.scores) - set(self.baseline))
            if missing:
                raise ValueError(f"{row.method}: the baseline has no score on {', '.join(missing)}; add it")
            if not set(row.scores) - set(self.left_out):
                raise ValueError(f"{row.method}: every benchmark is left out; drop the row")
        return self
