"""Budgets in their short text form, and what holds them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foveate.common.errors import BadInput
from foveate.ir.budget import Budget

UNITS = {
    "ttft": ("ms", "s", "%"),
    "tpot": ("ms", "s", "%"),
    "latency": ("ms", "s", "%"),
    "memory": ("MiB", "GiB", "%"),
    "throughput": ("/s",),
    "fidelity": ("",),
}
KINDS = [(figure, unit) for figure, units in UNITS.items() for unit in units]
numbers = st.decimals("0.001", "99999999", places=3)


@pytest.mark.parametrize(("figure", "unit"), KINDS)
@given(number=numbers)
def test_round_trip(figure: str, unit: str, number: object) -> None:
    sign = ">=" if figure in ("throughput", "fidelity") else "<="
    budget = Budget.parse(f"{figure}{sign}{number}{unit}")
    assert Budget.parse(str(budget)) == budget
    assert str(Budget.parse(str(budget))) == str(budget)


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("ttft<=120ms", Budget("ttft", 120.0)),
        (" ttft <= 1.5 s ", Budget("ttft", 1500.0)),
        ("ttft<=60%", Budget("ttft", 0.6, relative=True)),
        ("tpot<=30ms", Budget("tpot", 30.0)),
        ("latency<=2s", Budget("latency", 2000.0)),
        ("memory<=20GiB", Budget("memory", 20 * 1024.0**3)),
        ("memory<=512MiB", Budget("memory", 512 * 1024.0**2)),
        ("throughput>=40/s", Budget("throughput", 40.0)),
        ("fidelity>=0.98", Budget("fidelity", 0.98)),
    ],
)
def test_every_form_of_the_format_page(text: str, budget: Budget) -> None:
    assert Budget.parse(text) == budget


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "budget '' is not understood; write one such as ttft<=120ms"),
        ("ttft", "budget 'ttft' is not understood"),
        ("ttfd<=3ms", "budget 'ttfd<=3ms' is not understood"),
        ("ttft<3ms", "is not understood"),
        ("ttft<=-3ms", "is not understood"),
        ("ttft<=nanms", "is not understood"),
        ("ttft<=3GB", "is not understood"),
        ("ttft<=3", "budget 'ttft<=3': ttft is given in ms or s or %"),
        ("ttft<=3GiB", "ttft is given in ms or s or %"),
        ("memory<=3ms", "memory is given in MiB or GiB or %"),
        ("fidelity>=98%", "fidelity is given in no unit"),
        ("ttft>=3ms", "budget 'ttft>=3ms' points the wrong way"),
        ("fidelity<=0.9", "budget 'fidelity<=0.9' points the wrong way"),
        ("ttft<=0ms", "budget 'ttft<=0ms' can never be held; give a limit above zero"),
    ],
)
def test_bad_input_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(BadInput) as refused:
        Budget.parse(text)
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_holds_a_budget() -> None:
    relative, absolute, fidelity = map(Budget.parse, ("ttft<=60%", "ttft<=120ms", "fidelity>=0.98"))
    assert relative.absolute(200.0) == pytest.approx(120.0)
    assert relative.holds(119.0, 200.0)
    assert not relative.holds(121.0, 200.0)
    assert absolute.holds(120.0, 1.0)
    assert not absolute.holds(120.1, 1e9)
    assert fidelity.holds(0.98, 1.0)
    assert not fidelity.holds(0.97, 1.0)
