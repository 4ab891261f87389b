from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, field_validator

from foveate.common.errors import BadInput
from foveate.common.validation import validate
from foveate.common.yaml_lines import parse


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Placement(Strict):
    method: str = Field(alias="pass")
    keep: Annotated[float, Field(gt=0, le=1)] = 1.0
    mode: Literal["drop", "merge"] = "drop"
    modality: str | list[str] | None = None

    @field_validator("method")
    @classmethod
    def _no_spaces(cls, value: str) -> str:
        if " " in value:
            raise ValueError("a pass's name has no spaces")
        return value


class Plan(Strict):
    placements: list[Placement]
    notes: dict[str, Placement] = {}


def test_a_good_file_becomes_the_model(tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text("placements:\n- pass: tome\n  keep: 0.5\n")
    plan = validate(Plan, tmp_path / "plan.yaml")
    assert plan.placements[0].method == "tome"
    assert plan.placements[0].keep == 0.5


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "placements:\n- pass: tome\n  keap: 0.5\n",
            "p.yaml, line 3: unknown key 'placements[0].keap': did you mean 'keep'?",
        ),
        ("placement:\n- pass: tome\n", "p.yaml, line 1: unknown key 'placement': did you mean 'placements'?"),
        (
            "placements: []\nnotes:\n  one:\n    pass: tome\n    modalty: image\n",
            "p.yaml, line 5: unknown key 'notes.one.modalty': did you mean 'modality'?",
        ),
        (
            "placements:\n- pass: tome\n  keep: 1.5\n",
            "p.yaml, line 3: placements[0].keep is 1.5; it should be less than or equal to 1.",
        ),
        ("placements:\n- keep: 0.5\n", "p.yaml, line 2: placements[0].pass is missing; add it."),
        ("{}\n", "p.yaml, line 1: placements is missing; add it."),
        (
            "placements:\n- pass: tome\n  mode: pool\n",
            "p.yaml, line 3: placements[0].mode is 'pool'; it should be 'drop' or 'merge'.",
        ),
        ("placements:\n- pass: to me\n", "p.yaml, line 2: placements[0].pass: a pass's name has no spaces."),
        (
            "placements:\n- pass: tome\n  zebra: 0\n",
            "p.yaml, line 3: unknown key 'placements[0].zebra'; remove it, or use one of keep, modality, mode, pass.",
        ),
        (
            "placements:\n- pass: tome\n  keep: 2\n- pass: tome\n  keep: 0\n",
            "p.yaml, line 3: placements[0].keep is 2 (and 1 more); it should be less than or equal to 1.",
        ),
        ("- 1\n", "p.yaml, line 1: a mapping is expected, not [1]; write `key: value` lines, or pass a Path."),
        ("", "p.yaml, line 1: a mapping is expected, not None; write `key: value` lines, or pass a Path."),
    ],
)
def test_one_sentence_names_the_line_the_field_and_the_mend(text: str, sentence: str) -> None:
    with pytest.raises(BadInput) as caught:
        validate(Plan, parse(text, source="p.yaml"))
    assert str(caught.value) == sentence


def test_a_union_is_reported_by_the_place_in_the_file() -> None:
    with pytest.raises(BadInput, match=r"<text>, line 3: placements\[0\]\.modality") as caught:
        validate(Plan, "placements:\n- pass: tome\n  modality: {a: 1}\n")
    assert "str" not in str(caught.value).split(" is ")[0]
