"""The mode that raises where values are read on the host, apart from the contract that uses it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from foveate.passes.waiting import NoWaiting

READS: dict[str, Callable[[torch.Tensor], object]] = {
    "item": lambda values: values.sum().item(),
    "bool": lambda values: bool(values.sum() > 0),
    "int": lambda values: int(values.sum()),
    "float": lambda values: float(values.sum()),
    "nonzero": lambda values: values.nonzero(),
    "where": lambda values: torch.where(values > 0),
    "mask": lambda values: values[values > 0],
    "masked_select": lambda values: values.masked_select(values > 0),
    "unique": lambda values: values.unique(),
    "unique_consecutive": lambda values: values.unique_consecutive(),
    "equal": lambda values: torch.equal(values, values + 1),
    "repeat": lambda values: torch.repeat_interleave(values, (values > 0).long()),
}
RUNS: dict[str, Callable[[torch.Tensor], object]] = {
    "sort": lambda values: values.sort(),
    "gather": lambda values: values.gather(0, values.argsort()),
    "index": lambda values: values[values.argsort()[:2]],
    "where": lambda values: torch.where(values > 0, values, 0.0),
    "masked_fill": lambda values: values.masked_fill(values > 0, 1.0),
    "repeat": lambda values: values.repeat_interleave(3),
    "shape": lambda values: bool(values.shape[0] > 1),
}


@pytest.mark.parametrize("name", READS)
def test_what_reads_values_raises(name: str) -> None:
    values = torch.tensor([1.0, -2.0, 3.0])
    READS[name](values)
    with NoWaiting(), pytest.raises(RuntimeError, match="reads values on the host"):
        READS[name](values)


@pytest.mark.parametrize("name", RUNS)
def test_what_shapes_decide_runs(name: str) -> None:
    with NoWaiting():
        RUNS[name](torch.tensor([1.0, -2.0, 3.0]))
