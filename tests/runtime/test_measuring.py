"""Measuring: what is compared, paired and counted. No test looks at how long anything took."""

from __future__ import annotations

import gc
import math

import numpy as np
import pytest
import torch
from cross_models import mllama, mllama_inputs, sounds, whisper
from family_cases import BY_NAME
from live_families import batch as live_batch
from tiny import batch, tiny_llava

import foveate
from foveate.common.errors import BadInput
from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.runtime import apply, compare, ratio
from foveate.runtime.peak_memory import held_bytes, peak_bytes

PLAN = Plan.of(Placement("uniform", "image.projector.output", 0.25))
INSIDE = Plan.of(Placement("fastv", "decoder.layers.2", 0.25))
LENGTH = len([1] + [3] * 16) + 4
BYTES_PER_TOKEN = 4 * 2 * 2 * 8 * 4  # layers, keys and values, key-value heads, head width, float32


def test_every_contestant_is_run_in_every_round_and_the_cache_is_counted():
    found = compare(tiny_llava(), batch([(1, 4)]), {"plain": None, "plan": PLAN}, rounds=4, warmup=1, new_tokens=2)
    assert set(found) == {"plain", "plan"}
    for figures in found.values():
        assert figures.n == 4
        assert figures.ttft_samples.shape == (4,)
        assert (figures.ttft_samples > 0).all()
        assert figures.ttft_interval[0] <= figures.ttft_ms <= figures.ttft_interval[1]
        assert figures.tpot_ms is not None
        assert figures.tpot_ms > 0
    assert found["plain"].kv_bytes == LENGTH * BYTES_PER_TOKEN
    assert found["plain"].kv_bytes - found["plan"].kv_bytes == 12 * BYTES_PER_TOKEN


def test_the_order_of_contestants_changes_between_rounds(monkeypatch):
    from foveate.runtime import measuring

    order = []
    original = measuring._Contestant.run

    def note(self, *, record):
        order.append(self.plan)
        original(self, record=record)

    monkeypatch.setattr(measuring._Contestant, "run", note)
    compare(tiny_llava(), batch([(1, 4)]), {"plain": None, "plan": PLAN}, rounds=4, warmup=0)
    rounds = [tuple(plan is None for plan in order[i : i + 2]) for i in range(0, 8, 2)]
    assert {(True, False), (False, True)} == set(rounds)


def test_what_earlier_rounds_left_is_not_held(monkeypatch):
    """Runs of an encoder under a plan end in reference cycles, which wait for Python's collector."""
    from foveate.runtime import measuring
    from foveate.runtime.encoder.run import EncoderRun

    held = []
    original = measuring._Contestant.run

    def note(self, *, record):
        held.append(sum(isinstance(item, EncoderRun) for item in gc.get_objects()))
        original(self, record=record)

    monkeypatch.setattr(measuring._Contestant, "run", note)
    gc.disable()
    try:
        plan = Plan.of(Placement("random", "image.encoder.layers.1", 0.5))
        compare(tiny_llava(), batch([(1, 4)]), {"plain": None, "plan": plan}, rounds=6, warmup=0)
    finally:
        gc.enable()
    assert len(held) == 12
    assert max(held) <= 1


def test_ratios_are_paired_by_round():
    found = compare(tiny_llava(), batch([(1, 4)]), {"plain": None, "plan": PLAN}, rounds=5)
    expected = np.median(found["plan"].ttft_samples / found["plain"].ttft_samples)
    assert math.isclose(ratio(found["plan"], found["plain"]).median, expected)


def test_measure_gives_the_native_limit_with_a_cache_of_the_same_size():
    found = foveate.measure(tiny_llava(), batch([(1, 4)]), plan=PLAN, rounds=2, native=True, new_tokens=1)
    assert found.native is not None
    assert found.plan is not None
    assert found.native.kv_bytes == found.plan.kv_bytes
    assert found.over_native is not None
    assert found.ratio is not None


def test_without_a_plan_only_the_model_is_measured():
    found = foveate.measure(tiny_llava(), batch([(1, 4)]), rounds=2, new_tokens=0)
    assert found.plan is None
    assert found.ratio is None
    assert found.plain.tpot_ms is None


def test_the_native_limit_is_refused_inside_the_decoder():
    with pytest.raises(BadInput, match="before the decoder"):
        foveate.measure(tiny_llava(), batch([(1, 4)]), plan=INSIDE, rounds=1, native=True)


def test_measuring_needs_rounds_and_a_free_model():
    model, inputs = tiny_llava(), batch([(1, 4)])
    with pytest.raises(BadInput, match="one round"):
        compare(model, inputs, {"plain": None}, rounds=0)
    with apply(model, PLAN), pytest.raises(BadInput, match="already applied"):
        compare(model, inputs, {"plan": PLAN}, rounds=1)


@pytest.mark.parametrize("name", [name for name in BY_NAME if not name.startswith("phi4")])
def test_every_family_is_measured_beside_its_native_limit(name):
    case = BY_NAME[name]
    model = case.build()
    inputs, _ = live_batch(case, rows=2)
    plan = Plan.of(Placement("random", f"{case.modality}.projector.output", 0.5))
    found = foveate.measure(model, inputs, plan=plan, rounds=1, warmup=0, new_tokens=2, native=True)
    assert found.native is not None
    assert found.plan is not None
    assert found.plan.tpot_ms is not None
    assert found.plan.kv_bytes == found.native.kv_bytes < found.plain.kv_bytes
    assert held_bytes(model) < found.plan.peak_bytes


@pytest.mark.parametrize("name", ["phi4_multimodal", "phi4_multimodal-audio"])
def test_media_embedded_inside_the_decoder_have_no_native_limit(name):
    case = BY_NAME[name]
    model = case.build()
    inputs, _ = live_batch(case, rows=1)
    plan = Plan.of(Placement("random", f"{case.modality}.projector.output", 0.5))
    found = foveate.measure(model, inputs, plan=plan, rounds=1, warmup=0, new_tokens=1)
    assert found.plan is not None
    assert found.plan.kv_bytes < found.plain.kv_bytes
    with pytest.raises(BadInput, match="not defined for phi4_multimodal"):
        foveate.measure(model, inputs, plan=plan, rounds=1, native=True)


def test_an_encoder_decoder_is_measured_with_its_cross_attention_cache():
    plan = Plan.of(Placement("random", "audio.encoder.output", 0.25))
    found = foveate.measure(whisper(), sounds(2), plan=plan, rounds=1, warmup=0, new_tokens=3)
    assert found.plan is not None
    assert found.plan.tpot_ms is not None
    assert found.plan.kv_bytes < found.plain.kv_bytes


def test_peak_memory_counts_weights_and_what_was_held_at_once():
    model = torch.nn.Linear(1000, 1000, bias=False)
    weights, state = 4_000_000, torch.zeros(1000, 1000)

    def run():
        first = model(state)
        del first
        return model(state) + 1

    with torch.no_grad():
        found = peak_bytes(model, run)
    assert found == pytest.approx(weights + 2 * 4_000_000, rel=0.01)


def test_tiles_read_by_cross_attention_are_measured():
    plan = Plan.of(Placement("random", "image.projector.output", 0.25))
    found = foveate.measure(mllama(), mllama_inputs(2), plan=plan, rounds=1, warmup=0, new_tokens=3)
    assert found.plan is not None
    assert found.plan.kv_bytes < found.plain.kv_bytes


def test_padded_batches_decode_with_their_mask():
    found = compare(tiny_llava(), batch([(1, 4), (2, 6)]), {"plain": None, "plan": INSIDE}, rounds=1, new_tokens=3)
    assert found["plan"].kv_bytes < found["plain"].kv_bytes
