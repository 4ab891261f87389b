"""The parts of the recorder: shape runs, polynomials through points, bands."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from foveate.ir.polynomial import Band, Polynomial
from foveate.ir.recording.fit import fitted, scaled
from foveate.ir.recording.recorder import recording
from foveate.ir.recording.repeats import Instruments
from foveate.ir.recording.shapes import shapes_only

coefficients = st.integers(-(10**6), 10**6)
counts = st.integers(1, 9)


@given(coefficients, coefficients, coefficients, coefficients, coefficients, counts, st.integers(20, 99), counts)
def test_the_polynomial_through_six_points_is_found_exactly(
    a: int, b: int, c: int, d: int, e: int, batch: int, tokens: int, step: int
) -> None:
    tokens += 3 * step
    cost = Polynomial({(1, 2, 0): a, (1, 1, 0): b, (1, 0, 0): c, (0, 1, 0): d, (0, 0, 0): e})
    points = [(batch, tokens - step * i) for i in range(4)] + [(batch + 1, tokens), (batch + 1, tokens - step)]
    values = {point: cost(batch=point[0], tokens=point[1], context=0) for point in points}
    assert fitted(values, (batch, tokens)) == cost
    worst = min(points)
    assert fitted({**values, worst: values[worst] + 1}, (batch, tokens)) is None


@given(st.integers(0, 10**9), counts, counts)
def test_a_cost_known_once_is_kept_there(value: int, batch: int, tokens: int) -> None:
    assert scaled(value, (batch, tokens))(batch=batch, tokens=tokens, context=0) == value


@given(counts, st.integers(0, 30), st.integers(1, 20), st.integers(1, 12), st.integers(1, 7))
def test_a_band_sums_the_keys_that_each_query_sees(tokens: int, past: int, window: int, scale: int, batch: int) -> None:
    seen = sum(min(past + i + 1, window) for i in range(tokens))
    assert Band(scale, window)(batch=batch, tokens=tokens, context=past + tokens) == batch * scale * seen


def test_integers_are_real_and_learned_values_are_shapes() -> None:
    with torch.device("meta"):
        table = nn.Embedding(10, 4)
    with shapes_only():
        ids = torch.tensor([[1, 2, 2]], device="meta")
        assert (ids == 2).sum().item() == 2
        vectors = table(ids)
        assert vectors.is_meta
        assert vectors[ids == 2].shape == (2, 4)
        assert torch.arange(3, device=vectors.device).tolist() == [0, 1, 2]
        assert not torch.isinf(vectors).any()
        picked = torch.topk(vectors, 2).indices
    assert sorted(picked.flatten().unique().tolist()) == [0, 1, 2, 3]


@pytest.fixture
def stack() -> nn.Module:
    """Three equal layers on the meta device."""
    with torch.device("meta"):
        layers = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)])

    def forward(hidden: torch.Tensor) -> torch.Tensor:
        for layer in layers:
            hidden = layer(hidden)
        return hidden

    model = nn.Module()
    model.layers = layers
    model.forward = forward  # type: ignore[assignment]
    return model


def test_equal_layers_run_once_and_count_as_often_as_they_stand(stack: nn.Module) -> None:
    instruments = Instruments(stack)
    with recording() as recorder:
        instruments.recorder = recorder
        stack(torch.empty(1, 5, 4, device="meta"))
        found = recorder.fresh()
    assert [event.path for event in found.events] == ["layers.0", "layers.1", "layers.2"]
    assert [event.flops for event in found.events] == [2 * 5 * 4 * 4] * 3
    assert [call.source.path for call in found.calls if call.path in instruments.layers] == ["layers.0"] * 3
    assert len(instruments.events) == 1


def test_a_discarded_run_leaves_nothing_to_later_calls(stack: nn.Module) -> None:
    instruments = Instruments(stack)
    with recording() as recorder:
        instruments.recorder = recorder
        for rows in range(1, 40):  # calls of runs that are let go, whose places in memory the next ones take
            stack(torch.empty(1, rows, 4, device="meta"))
            found = recorder.fresh()
            layers = [call for call in found.calls if call.path in instruments.layers]
            assert {call.source.output.shape[1] for call in layers} == {rows}
            assert layers[0].source is layers[0]
            del found, layers


def test_attention_is_put_back_after_an_error() -> None:
    original = nn.functional.scaled_dot_product_attention
    with pytest.raises(RuntimeError, match=r"reduction dim|mat1 and mat2|size"), recording():
        torch.empty(2, 3, device="meta") @ torch.empty(2, 3, device="meta")
    assert nn.functional.scaled_dot_product_attention is original
