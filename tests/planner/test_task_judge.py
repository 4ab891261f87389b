"""The judge by a metric: encoders run once for all plans behind them, and answers are those of a loop by hand."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
from transcribers import transcriber

from foveate.common.errors import BadInput
from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.planner.fidelity.judge import TaskJudge
from foveate.planner.fidelity.samples import CalibrationSample
from foveate.planner.fidelity.task import measure_task
from foveate.runtime import apply

STEPS = 5
NOTHING = Plan.of()
UNIFORM = Plan.of(Placement("uniform", "image.projector.output", 0.5))
FASTV = Plan.of(Placement("fastv", "decoder.layers.1", 0.25))
READING = Plan.of(Placement("fastervlm", "image.projector.output", 0.5))


def text(ids: torch.Tensor) -> str:
    return " ".join(map(str, ids.tolist()))


def alike(answer: str, expected: str) -> float:
    """The part of `expected` that the answer has at its places."""
    pairs = zip(answer.split(), expected.split(), strict=False)
    return sum(one == other for one, other in pairs) / len(expected.split())


def by_hand(model: Any, sample: CalibrationSample, plan: Plan) -> str:
    """The answer to one sample alone, by the model's own `generate`."""
    with apply(model, plan) if plan.placements else nullcontext():
        tokens = model.generate(**sample.inputs, max_new_tokens=STEPS, do_sample=False)
    return text(tokens[0, sample.inputs["input_ids"].shape[1] :])


@pytest.fixture
def asked(model: Any, samples: list[CalibrationSample]) -> list[CalibrationSample]:
    return [replace(sample, answer=by_hand(model, sample, NOTHING)) for sample in samples]


@pytest.mark.parametrize("plan", [NOTHING, UNIFORM, FASTV, READING])
def test_scores_are_those_of_a_loop_by_hand(model: Any, asked: list[CalibrationSample], plan: Plan) -> None:
    judge = TaskJudge.of(model, asked, alike, text, new_tokens=STEPS)
    found = judge.judge(plan)
    expected = [alike(by_hand(model, sample, plan), str(sample.answer)) for sample in asked]
    fresh = measure_task(model, asked, plan, text=text, metric=alike, new_tokens=STEPS)
    assert found is not None
    assert found.per_sample.tolist() == pytest.approx(expected)
    assert fresh.per_sample.tolist() == found.per_sample.tolist()
    assert (found.value == 1.0) == (plan == NOTHING)


def test_the_encoder_runs_once_for_all_plans_behind_it(model: Any, asked: list[CalibrationSample]) -> None:
    runs: list[int] = []
    hook = model.model.vision_tower.register_forward_hook(lambda *_: runs.append(1))
    try:
        judge = TaskJudge.of(model, asked, alike, text, new_tokens=STEPS)
        once = len(runs)
        for plan in (NOTHING, UNIFORM, FASTV):
            judge.judge(plan)
        assert once == len(runs) == 3  # the looks: a quarter, a half, all
        judge.judge(READING)  # it reads the encoder's attention
        assert len(runs) == 2 * once
        measure_task(model, asked, UNIFORM, text=text)
        assert len(runs) == 2 * once + 1
    finally:
        hook.remove()
    assert "get_image_features" not in vars(model.model)


def test_a_transcriber_s_encoder_runs_once_too() -> None:
    whisper, made = transcriber(), torch.Generator().manual_seed(0)
    sounds = [CalibrationSample({"input_features": torch.randn(1, 8, 3000, generator=made)}, "9") for _ in range(3)]
    runs: list[int] = []
    hook = whisper.get_encoder().layers[0].register_forward_hook(lambda *_: runs.append(1))
    judge = TaskJudge.of(whisper, sounds, alike, text, new_tokens=STEPS)
    once = len(runs)
    plan = Plan.of(Placement("uniform", "audio.encoder.output", 0.25))
    found = [judge.judge(each) for each in (NOTHING, plan)]
    assert once == len(runs) == 3
    hook.remove()
    for value, each in zip(found, (NOTHING, plan), strict=True):
        fresh = measure_task(whisper, sounds, each, text=text, metric=alike, new_tokens=STEPS)
        assert value is not None
        assert value.per_sample.tolist() == fresh.per_sample.tolist()


def test_a_sound_that_generate_would_pad_is_refused_as_plain_forwards_do() -> None:
    sounds = [CalibrationSample({"input_features": torch.zeros(1, 8, n)}, "9", f"line {n}") for n in (3000, 100)]
    with pytest.raises(BadInput, match=r"^line 100: the model cannot take this sample: .*length 3000"):
        TaskJudge.of(transcriber(), sounds, alike, text, new_tokens=STEPS)
