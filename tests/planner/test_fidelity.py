"""Fidelity against an independent oracle: no cache, no generate, one whole forward pass for every token."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from foveate.common.errors import BadInput
from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.planner.fidelity.features import acts_after_encoder
from foveate.planner.fidelity.fidelity import Reference, bootstrap_mean, measure_fidelity
from foveate.planner.fidelity.judge import FidelityJudge
from foveate.planner.fidelity.samples import CalibrationSample
from foveate.planner.fidelity.task import exact_match, measure_task
from foveate.runtime import apply

IMAGE_TOKEN, END = 5, 2
UNIFORM = Plan.of(Placement("uniform", "image.projector.output", 0.5))
FASTV = Plan.of(Placement("fastv", "decoder.layers.1", 0.25))


@torch.no_grad()
def whole_forward(model: Any, sample: CalibrationSample, answer: list[int], dropped: list[int]) -> torch.Tensor:
    """Log-probabilities of the token after the prompt and `answer`; `dropped` image tokens are masked out."""
    ids = torch.cat([sample.inputs["input_ids"], torch.tensor([answer], dtype=torch.long)], dim=1)
    mask = torch.ones_like(ids)
    image_places = (ids[0] == IMAGE_TOKEN).nonzero()[:, 0]
    mask[0, image_places[dropped]] = 0
    logits = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=torch.arange(ids.shape[1])[None],
        pixel_values=sample.inputs["pixel_values"],
        use_cache=False,
    ).logits
    return logits[0, -1].double().log_softmax(-1)


def greedy(model: Any, sample: CalibrationSample, steps: int = 5) -> tuple[list[int], list[torch.Tensor]]:
    """The uncompressed greedy answer, end token included, and the log-probabilities at each of its tokens."""
    answer: list[int] = []
    log_probs: list[torch.Tensor] = []
    while len(answer) < steps and (not answer or answer[-1] != END):
        log_probs.append(whole_forward(model, sample, answer, []))
        answer.append(int(log_probs[-1].argmax()))
    return answer, log_probs


def kl(p: torch.Tensor, q: torch.Tensor) -> float:
    return float((p.exp() * (p - q)).sum())


def dropped_by(model: Any, plan: Plan, sample: CalibrationSample) -> list[int]:
    with apply(model, plan) as handle, torch.no_grad():
        model(**sample.inputs)
        kept = handle.selections["image.projector.output"][0].tolist()
    return [place for place in range(16) if place not in kept]


def test_the_uncompressed_model_is_exactly_faithful_to_itself(model: Any, samples: list[CalibrationSample]) -> None:
    reference = Reference.of(model, samples)
    for plan in (None, Plan.of(), Plan.of(Placement("divprune", "image.projector.output", 1.0))):
        found = measure_fidelity(model, samples, plan, reference=reference)
        assert (found.value, found.top1, found.interval) == (1.0, 1.0, (1.0, 1.0))
        assert (found.per_sample == 1.0).all()


def test_a_dropping_plan_agrees_with_masked_whole_forwards(model: Any, samples: list[CalibrationSample]) -> None:
    total, agreed, count, each = 0.0, 0, 0, []
    for sample in samples:
        answer, expected = greedy(model, sample)
        dropped = dropped_by(model, UNIFORM, sample)
        assert len(dropped) == 8
        found = [whole_forward(model, sample, answer[:i], dropped) for i in range(len(answer))]
        losses = [kl(p, q) for p, q in zip(expected, found, strict=True)]
        agreed += sum(int(p.argmax() == q.argmax()) for p, q in zip(expected, found, strict=True))
        total, count = total + sum(losses), count + len(answer)
        each.append(math.exp(-sum(losses) / len(answer)))
    measured = measure_fidelity(model, samples, UNIFORM)
    assert measured.value == pytest.approx(math.exp(-total / count), abs=1e-5)
    assert measured.top1 == pytest.approx(agreed / count)
    np.testing.assert_allclose(measured.per_sample, each, atol=1e-4)
    assert measured.value < 0.99
    assert measured.interval[0] <= measured.value <= measured.interval[1]


@torch.no_grad()
def test_a_plan_inside_the_decoder_agrees_with_a_manual_loop(model: Any, samples: list[CalibrationSample]) -> None:
    """Prefill, then one token at a time through the cache, sample by sample, without generate or batches."""
    total, count = 0.0, 0
    for sample in samples[:5]:
        answer, expected = greedy(model, sample)
        with apply(model, FASTV):
            output = model(**sample.inputs, use_cache=True)
            found = [output.logits[0, -1].double().log_softmax(-1)]
            mask = sample.inputs["attention_mask"]
            for token in answer[:-1]:
                mask = torch.cat([mask, torch.ones(1, 1, dtype=mask.dtype)], dim=1)
                output = model(
                    input_ids=torch.tensor([[token]]),
                    attention_mask=mask,
                    past_key_values=output.past_key_values,
                    use_cache=True,
                )
                found.append(output.logits[0, -1].double().log_softmax(-1))
        total += sum(kl(p, q) for p, q in zip(expected, found, strict=True))
        count += len(answer)
    measured = measure_fidelity(model, samples[:5], FASTV)
    assert measured.value == pytest.approx(math.exp(-total / count), abs=1e-5)
    assert measured.value < 0.999


def test_answers_are_greedy_and_stop_at_the_end_token(model: Any, samples: list[CalibrationSample]) -> None:
    expected = [greedy(model, sample)[0] for sample in samples]
    model.generation_config.eos_token_id = end = expected[0][1]
    try:
        reference = Reference.of(model, samples)
    finally:
        model.generation_config.eos_token_id = END
    found = {
        row: tokens[mask].tolist()
        for part in reference.batches
        for row, tokens, mask in zip(part.batch.rows, part.tokens, part.mask, strict=True)
    }
    for row, answer in enumerate(expected):
        stop = answer.index(end) + 1 if end in answer else len(answer)
        assert found[row] == answer[:stop]
    assert len(found[0]) <= 2


def test_parts_add_up_to_the_whole(model: Any, samples: list[CalibrationSample]) -> None:
    reference = Reference.of(model, samples, batch_size=2)
    judge = FidelityJudge(model, reference)
    seen = []
    whole = judge.judge(UNIFORM)
    split = judge.judge(UNIFORM, give_up=lambda early: bool(seen.append(early)))
    assert whole is not None
    assert split is not None
    assert split.value == pytest.approx(whole.value, abs=1e-9)
    np.testing.assert_allclose(split.per_sample, whole.per_sample, atol=1e-9)
    assert 0 < len(seen[0].per_sample) < len(samples)
    assert judge.judge(UNIFORM, give_up=lambda early: True) is None


def test_batching_changes_nothing(model: Any, samples: list[CalibrationSample]) -> None:
    together = measure_fidelity(model, samples, UNIFORM, reference=Reference.of(model, samples, batch_size=10))
    alone = measure_fidelity(model, samples, UNIFORM, reference=Reference.of(model, samples, batch_size=1))
    np.testing.assert_allclose(together.per_sample, alone.per_sample, atol=1e-4)


def test_the_interval_is_the_spread_of_resampled_means() -> None:
    made = np.random.default_rng(1)
    values, weights = made.exponential(size=400), np.full(400, 2.0)
    low, high = bootstrap_mean(values, weights)
    width = 2 * 1.96 * values.std() / math.sqrt(400) / 2.0
    assert low < values.sum() / weights.sum() < high
    assert high - low == pytest.approx(width, rel=0.1)


def test_task_accuracy_counts_exact_answers(model: Any, samples: list[CalibrationSample]) -> None:
    spoken = [" ".join(map(str, greedy(model, s, steps=3)[0])) for s in samples[:4]]
    asked = [CalibrationSample(s.inputs, t) for s, t in zip(samples, [*spoken[:3], "wrong"], strict=False)]
    found = measure_task(
        model, asked, None, text=lambda ids: " ".join(map(str, ids.tolist())), metric=exact_match, new_tokens=3
    )
    assert found.kind == "task"
    assert found.per_sample.tolist() == [1.0, 1.0, 1.0, 0.0]
    assert found.value == 0.75


def test_task_accuracy_needs_answers(model: Any, samples: list[CalibrationSample]) -> None:
    with pytest.raises(BadInput, match="sample 0 has none"):
        measure_task(model, samples, None, text=str)
    with pytest.raises(BadInput, match="at least one"):
        Reference.of(model, [])


class Encoder:
    """Counts how often the vision tower runs."""

    def __init__(self, model: Any) -> None:
        self.runs = 0
        self.hook = model.model.vision_tower.register_forward_hook(self.ran)

    def ran(self, *_: Any) -> None:
        self.runs += 1


@pytest.mark.parametrize("plan", [None, UNIFORM, FASTV])
def test_kept_encoder_outputs_change_nothing(model: Any, samples: list[CalibrationSample], plan: Plan | None) -> None:
    reference = Reference.of(model, samples, batch_size=4)
    again = [measure_fidelity(model, samples, plan, reference=reference) for _ in range(2)]
    reference.features._kept.clear()
    reference.features._bytes = 1 << 60  # so that nothing is kept
    fresh = measure_fidelity(model, samples, plan, reference=reference)
    assert not reference.features._kept
    for found in again:
        assert (found.per_sample == fresh.per_sample).all()


def test_the_encoder_runs_once_for_all_plans_behind_it(model: Any, samples: list[CalibrationSample]) -> None:
    own = model.model.get_image_features
    encoder = Encoder(model)
    try:
        reference = Reference.of(model, samples, batch_size=4)
        once = encoder.runs
        for plan in (UNIFORM, FASTV, None):
            measure_fidelity(model, samples, plan, reference=reference)
        assert once == len(reference.batches)
        assert encoder.runs == once
        measure_fidelity(
            model, samples, Plan.of(Placement("fastervlm", "image.projector.output", 0.5)), reference=reference
        )
        assert encoder.runs == 2 * once  # it reads the encoder's attention
    finally:
        encoder.hook.remove()
    assert model.model.get_image_features == own


def test_which_plans_leave_the_encoder_alone() -> None:
    assert acts_after_encoder(None)
    assert acts_after_encoder(UNIFORM)
    assert not acts_after_encoder(Plan.of(Placement("fastervlm", "image.projector.output", 0.5)))
    assert not acts_after_encoder(Plan.of(Placement("uniform", "image.encoder.layers.1", 0.5)))
