"""Planning for encoder-decoders: a tiny random Whisper is asked, compressed, planned for and measured."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transcribers import END, FRAMES, MELS, START, SUPPRESSED, transcriber
from transformers.modeling_outputs import BaseModelOutput

import foveate
from foveate.common.errors import BadInput
from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.planner.fidelity.decoding import decode, said
from foveate.planner.fidelity.fidelity import Reference, measure_fidelity
from foveate.planner.fidelity.samples import CalibrationSample, workload_of
from foveate.planner.fidelity.task import measure_task
from foveate.planner.fidelity.word_errors import word_accuracy

STEPS = 6
OUTPUT, INSIDE_SITE = "audio.encoder.output", "audio.encoder.layers.1"
UNIFORM = Plan.of(Placement("uniform", OUTPUT, 0.25))
INSIDE = Plan.of(Placement("uniform", INSIDE_SITE, 0.25))


@pytest.fixture(scope="module")
def whisper() -> Any:
    return transcriber()


@pytest.fixture(scope="module")
def heard() -> list[CalibrationSample]:
    made = torch.Generator().manual_seed(0)
    loud = torch.linspace(0.2, 2, FRAMES)
    return [
        CalibrationSample({"input_features": torch.randn(1, MELS, FRAMES, generator=made) * loud.roll(500 * i)})
        for i in range(6)
    ]


def step_by_step(model: Any, states: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """(1, T, V) log-probabilities of `tokens` (1, T), through the cache one by one from the encoder's `states`."""
    encoded, cache, fed, found = BaseModelOutput(states), None, torch.tensor([[START]]), []
    for step in range(tokens.shape[1]):
        with torch.no_grad():
            output = model(encoder_outputs=encoded, decoder_input_ids=fed, past_key_values=cache, use_cache=True)
        cache, fed = output.past_key_values, tokens[:, step : step + 1]
        found.append(output.logits[:, -1].log_softmax(-1))
    return torch.stack(found, dim=1)


def states_of(model: Any, sample: CalibrationSample) -> torch.Tensor:
    with torch.no_grad():
        states: torch.Tensor = model.get_encoder()(sample.inputs["input_features"]).last_hidden_state
    return states


def test_forced_log_probabilities_are_those_of_a_loop_by_hand(whisper: Any, heard: list[CalibrationSample]) -> None:
    answer = decode(whisper, heard[0].inputs, steps=STEPS)
    expected = step_by_step(whisper, states_of(whisper, heard[0]), answer.tokens)
    assert (answer.log_probs - expected).abs().max() < 1e-4
    allowed = expected.index_fill(-1, torch.tensor([SUPPRESSED]), -torch.inf)
    assert torch.equal(allowed.argmax(-1), answer.tokens)
    assert answer.prompt is not None
    assert answer.prompt.tolist() == [[START]]
    assert len(set(answer.tokens[0].tolist())) > 1


def test_no_time_stamp_is_said_so_every_row_answers(whisper: Any, heard: list[CalibrationSample]) -> None:
    """A row that said one would be gone on with alone, and only that row would come back."""
    inputs = {name: torch.cat([sample.inputs[name] for sample in heard]) for name in heard[0].inputs}
    before = said(whisper, inputs, steps=STEPS)[0]
    last = int(before[before > END].median())  # of the words that it likes, half are stamps now
    settings = whisper.generation_config
    settings.no_timestamps_token_id = last
    try:
        after = said(whisper, inputs, steps=STEPS)[0]
    finally:
        del settings.no_timestamps_token_id
    assert (before > last).any()
    assert len(after) == len(heard)
    assert int(after.max()) <= last
    assert settings.suppress_tokens == [SUPPRESSED]


def test_fidelity_is_the_divergence_of_two_loops_by_hand(whisper: Any, heard: list[CalibrationSample]) -> None:
    found = measure_fidelity(whisper, heard, UNIFORM, reference=Reference.of(whisper, heard, new_tokens=STEPS))
    expected = []
    for sample in heard:
        answer = decode(whisper, sample.inputs, steps=STEPS)
        plain = step_by_step(whisper, states_of(whisper, sample), answer.tokens)
        with foveate.apply(whisper, UNIFORM):
            states = states_of(whisper, sample)
        assert states.shape[1] == 375
        less = step_by_step(whisper, states, answer.tokens)
        divergence = (plain.exp() * (plain - less)).sum(-1)[answer.mask]
        expected.append(float(divergence.mean().neg().exp()))
    assert found.per_sample == pytest.approx(expected, abs=1e-4)
    assert found.value < 0.999


@pytest.mark.parametrize("site", [None, OUTPUT, INSIDE_SITE])
def test_keeping_everything_is_exactly_faithful(whisper: Any, heard: list[CalibrationSample], site: str | None) -> None:
    plan = None if site is None else Plan.of(Placement("uniform", site, 1.0))
    found = measure_fidelity(whisper, heard, plan, reference=Reference.of(whisper, heard, new_tokens=STEPS))
    assert (found.value, found.top1) == (1.0, 1.0)


def test_the_encoder_runs_once_for_all_plans_at_its_output(whisper: Any, heard: list[CalibrationSample]) -> None:
    runs: list[int] = []
    hook = whisper.get_encoder().layers[0].register_forward_hook(lambda *_: runs.append(1))
    reference = Reference.of(whisper, heard, new_tokens=STEPS, batch_size=3)
    assert len(runs) == len(reference.batches) == 2
    first = measure_fidelity(whisper, heard, UNIFORM, reference=reference)
    again = measure_fidelity(whisper, heard, UNIFORM, reference=reference)
    assert len(runs) == 2
    measure_fidelity(whisper, heard, INSIDE, reference=reference)
    assert len(runs) == 4
    hook.remove()
    fresh = measure_fidelity(whisper, heard, UNIFORM, reference=Reference.of(whisper, heard, new_tokens=STEPS))
    assert np.array_equal(first.per_sample, again.per_sample)
    assert first.per_sample == pytest.approx(fresh.per_sample, abs=1e-5)
    assert "forward" not in vars(whisper.get_encoder())


def test_transcripts_are_scored_by_their_words(whisper: Any, heard: list[CalibrationSample]) -> None:
    def text(ids: torch.Tensor) -> str:
        return " ".join(f"w{int(token)}" for token in ids)

    answers = [decode(whisper, sample.inputs, steps=STEPS) for sample in heard]
    said = [text(answer.tokens[0][answer.mask[0]]) for answer in answers]
    asked = [CalibrationSample(s.inputs, f"{words} more") for s, words in zip(heard, said, strict=True)]
    found = measure_task(whisper, asked, None, text=text, metric=word_accuracy, new_tokens=STEPS)
    assert found.per_sample == pytest.approx([1 - 1 / (len(words.split()) + 1) for words in said])


def test_a_budget_becomes_a_plan_that_runs(whisper: Any, heard: list[CalibrationSample]) -> None:
    plan = foveate.plan(
        whisper,
        workload="audio=30s,text=1,new=6",
        budget="ttft<=90%",
        device="generic-cpu",
        samples=heard,
        trials=8,
        passes=("norm",),
        measure=False,
    )
    assert plan.fidelity is not None
    assert (plan.fidelity.kind, plan.fidelity.samples) == ("measured", 2)
    assert plan.placements
    assert all(item.site.startswith("audio.") for item in plan.placements)
    with foveate.apply(whisper, plan):
        assert states_of(whisper, heard[0]).shape[1] < 1500


def test_a_sample_that_the_model_cannot_take_is_named(whisper: Any, heard: list[CalibrationSample]) -> None:
    short = CalibrationSample({"input_features": torch.zeros(1, MELS, 100)}, origin="data.jsonl, line 7")
    with pytest.raises(BadInput, match=r"data.jsonl, line 7: the model cannot take this sample: .*length 3000"):
        Reference.of(whisper, [*heard[:2], short])


def test_sounds_make_up_their_own_workload(heard: list[CalibrationSample]) -> None:
    assert str(workload_of(heard, None, new_tokens=5)) == "audio=30s,text=1,new=96"
