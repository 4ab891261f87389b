"""The sweep times what its ops say: FLOPs against torch's own counter, shapes against the outputs."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from foveate.cost_models.profile import VECTOR
from foveate.cost_models.sweep import CASES, Bench, Case, bench
from foveate.ir.op import OP_KINDS


@pytest.fixture(scope="module")
def on() -> Bench:
    return bench("cpu", "float32", 0)


def test_every_kind_of_op_has_cases() -> None:
    assert set(CASES) == {*OP_KINDS, VECTOR}


@pytest.mark.parametrize("kind", ["gemm", VECTOR, "convolution"])
def test_flops_are_those_that_torch_counts(on: Bench, kind: str) -> None:
    for case in _small(on, kind):
        counter = FlopCounterMode(display=False)
        with counter:
            case.run()
        counted = counter.get_total_flops() / case.repeats
        assert counted == case.op.flops(batch=case.batch, tokens=case.tokens, context=case.context)


@pytest.mark.parametrize("kind", [*OP_KINDS, VECTOR])
def test_cases_run_and_are_of_their_kind(on: Bench, kind: str) -> None:
    cases = _small(on, kind)
    assert cases
    for case in cases:
        case.run()
        assert case.op.kind == ("gemm" if kind == VECTOR else kind)
        assert case.op.elements(batch=case.batch, tokens=case.tokens, context=case.context) > 0


def test_one_row_is_timed_apart_from_many(on: Bench) -> None:
    assert {case.tokens for case in CASES[VECTOR](on)} == {1}
    assert min(case.tokens for case in CASES["gemm"](on)) > 1


def test_one_seed_is_one_sweep() -> None:
    first, second = (bench("cpu", "float32", 3).tensor(4, 5) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, bench("cpu", "float32", 4).tensor(4, 5))


def _small(on: Bench, kind: str) -> list[Case]:
    """The cases that take next to no time."""

    def work(case: Case) -> int:
        counts = {"batch": case.batch, "tokens": case.tokens, "context": case.context}
        return int(case.op.flops(**counts) + case.op.elements(**counts))

    return [case for case in CASES[kind](on) if work(case) < 5e7]
