"""Calibration samples that cannot serve: each is named before anything is searched or timed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import foveate
from foveate.common.errors import BadInput
from foveate.ir.plan import Plan
from foveate.ir.workload import Workload
from foveate.planner import planning, verify
from foveate.planner.fidelity.media_check import require_media
from foveate.planner.fidelity.samples import CalibrationSample, from_testbed
from foveate.planner.fidelity.task import measure_task
from foveate.testbed import load
from foveate.testbed.video import samples as video_samples

IMAGE_TOKEN = 5
SEARCHED, HELD_OUT = 7, 8
"""Places among the samples: every third one is held out."""

Planned = Callable[..., Plan]


def text(ids: torch.Tensor) -> str:
    return " ".join(map(str, ids.tolist()))


def never(*args: Any, **options: Any) -> Any:
    pytest.fail("the model was used")


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch, model: Any, token_cost: Any) -> Planned:
    """`foveate.plan` with a cost model by tokens, which may time nothing."""
    monkeypatch.setattr(planning, "CostModel", lambda profile, *, dtype: token_cost(per_token=1.0, fixed=4.0))
    monkeypatch.setattr(verify, "compare", never)

    def make(samples: list[CalibrationSample], **options: Any) -> Plan:
        asked = {"budget": "ttft<=75%", "device": "generic-cpu", "trials": 1, "passes": ("fastv",), **options}
        return foveate.plan(model, samples=samples, **asked)

    return make


@pytest.fixture
def lines(samples: list[CalibrationSample]) -> list[CalibrationSample]:
    """Ten samples with answers, as from a file."""
    return [replace(s, answer="6 7", origin=f"data.jsonl, line {n}") for n, s in enumerate(samples, start=1)]


@pytest.fixture
def bad(samples: list[CalibrationSample]) -> CalibrationSample:
    """A picture whose prompt has no place for it."""
    inputs = dict(samples[0].inputs)
    ids = inputs["input_ids"]
    inputs["input_ids"] = ids[ids != IMAGE_TOKEN][None]
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    return CalibrationSample(inputs, "6 7", "data.jsonl, line 77")


@pytest.mark.parametrize("place", [SEARCHED, HELD_OUT])
def test_a_sample_without_an_answer_is_named_before_the_model_is_asked(
    planned: Planned, model: Any, monkeypatch: pytest.MonkeyPatch, lines: list[CalibrationSample], place: int
) -> None:
    monkeypatch.setattr(model, "generate", never)
    lines[place] = replace(lines[place], answer=None)
    with pytest.raises(BadInput, match=rf"but data.jsonl, line {place + 1} has none; add an answer to each"):
        planned(lines, metric="exact", text=text)


@pytest.mark.parametrize(("place", "name"), [(SEARCHED, "search sample 5"), (HELD_OUT, "held-out sample 2")])
def test_a_sample_from_no_file_is_named_by_its_number(
    planned: Planned, lines: list[CalibrationSample], place: int, name: str
) -> None:
    lines[place] = replace(lines[place], answer=None, origin="")
    with pytest.raises(BadInput, match=f"but {name} has none"):
        planned(lines, metric="exact", text=text)


@pytest.mark.parametrize("place", [2, SEARCHED, HELD_OUT])
@pytest.mark.parametrize("judged", [{}, {"metric": "exact", "text": text}], ids=["fidelity", "task"])
def test_a_sample_that_the_model_cannot_take_is_named_before_any_is_timed(
    planned: Planned, lines: list[CalibrationSample], bad: CalibrationSample, place: int, judged: dict[str, Any]
) -> None:
    lines[place] = bad
    with pytest.raises(BadInput, match=r"^data.jsonl, line 77: the model cannot take this sample: .*; mend its prompt"):
        planned(lines, measure=True, **judged)


def test_a_plan_is_not_blamed_on_a_sample(model: Any, lines: list[CalibrationSample], bad: CalibrationSample) -> None:
    def failing(ids: torch.Tensor) -> str:
        raise ValueError("no words today")

    with pytest.raises(BadInput, match=r"^data.jsonl, line 77: the model cannot take"):
        measure_task(model, [*lines[:2], bad], None, text=text)
    with pytest.raises(ValueError, match="no words today"):
        measure_task(model, lines[:2], None, text=failing)


def test_a_picture_where_the_workload_has_two_is_refused(planned: Planned, lines: list[CalibrationSample]) -> None:
    sentence = r"data.jsonl, line 1: it has 1 image, and the workload image=2x56x56,text=8,new=5 has 2; give samples"
    with pytest.raises(BadInput, match=sentence):
        planned(lines, workload="image=2x56x56,text=8,new=5")


def test_clips_are_no_samples_of_pictures(token_cost: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "CostModel", lambda profile, *, dtype: token_cost())
    model, processor = load("video")
    clips = from_testbed(video_samples("calibration", 3), processor)
    require_media(model, Workload.parse("video=16x112x112"), clips)
    options: dict[str, Any] = {"budget": "ttft<=75%", "device": "generic-cpu", "samples": clips}
    with pytest.raises(BadInput, match="search sample 0: it has no image, and the workload image=1x112x112"):
        foveate.plan(model, workload="image=1x112x112,text=8,new=5", **options)


class Seeing:
    """Takes pictures and clips, each with grids."""

    def forward(
        self, input_ids: Any, pixel_values: Any, pixel_values_videos: Any, image_grid_thw: Any, video_grid_thw: Any
    ) -> None: ...


class Joining:
    """Takes clips as pictures."""

    def forward(self, input_ids: Any, pixel_values: Any) -> None: ...


class Wrapped:
    """Says nothing about what it takes."""

    def forward(self, *args: Any, **kwargs: Any) -> None: ...


@pytest.mark.parametrize(
    ("model", "workload", "shapes", "has"),
    [
        (Seeing(), "video=8x56x56", {"pixel_values": (16, 588)}, "no video"),
        (Seeing(), "video=8x56x56", {"pixel_values_videos": (16, 588), "video_grid_thw": (1, 3)}, None),
        (Seeing(), "video=8x56x56,video=8x56x56", {"pixel_values_videos": (9, 9), "video_grid_thw": (1, 3)}, "1 video"),
        (Seeing(), "image=2x56x56", {"pixel_values": (16, 588), "image_grid_thw": (1, 3)}, "1 image"),
        (Seeing(), "image=1x56x56", {"pixel_values": (16, 588), "image_grid_thw": (2, 3)}, None),
        (Seeing(), "image=2x56x56", {"pixel_values": (16, 588)}, None),
        (Seeing(), "image=2x56x56", {"pixel_values": (1, 3, 14, 224)}, None),
        (Seeing(), "image=2x56x56", {"pixel_values": (5, 3, 56, 56)}, None),
        (Seeing(), "image=2x56x56", {"pixel_values": (1, 2, 3, 56, 56)}, None),
        (Joining(), "video=8x56x56", {"pixel_values": (8, 3, 56, 56)}, None),
        (Wrapped(), "image=1x56x56", {}, None),
    ],
)
def test_only_what_surely_lacks_media_is_refused(
    model: Any, workload: str, shapes: dict[str, tuple[int, ...]], has: str | None
) -> None:
    sample: Any = SimpleNamespace(inputs={name: torch.zeros(shape) for name, shape in shapes.items()}, origin="here")
    if has is None:
        require_media(model, Workload.parse(workload), [sample])
        return
    with pytest.raises(BadInput, match=f"^here: it has {has}, and the workload {workload},text=32,new=16 has "):
        require_media(model, Workload.parse(workload), [sample])
