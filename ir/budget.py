"""Budgets: limits that a plan must hold, in the short text form of plans and the command line."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..common.errors import BadInput
from .decimals import decimal

_FORM = re.compile(r"(ttft|tpot|latency|memory|throughput|fidelity)\s*(<=|>=)\s*(\d+(?:\.\d+)?)\s*(ms|s|%|GiB|MiB|/s)?")
_UNITS: dict[str, dict[str, float]] = {
    "ttft": {"ms": 1.0, "s": 1000.0, "%": 0.01},
    "tpot": {"ms": 1.0, "s": 1000.0, "%": 0.01},
    "latency": {"ms": 1.0, "s": 1000.0, "%": 0.01},
    "memory": {"MiB": 2.0**20, "GiB": 2.0**30, "%": 0.01},
    "throughput": {"/s": 1.0},
    "fidelity": {"": 1.0},
}
_AT_LEAST = ("throughput", "fidelity")
_EXAMPLES = "ttft<=120ms, ttft<=60%, tpot<=30ms, latency<=2s, memory<=20GiB, throughput>=40/s or fidelity>=0.98"


@dataclass(frozen=True)
class Budget:
    """One limit.

    Attributes:
        figure: `ttft`, `tpot`, `latency` (ms), `memory` (bytes), `throughput` (requests a second) or `fidelity`.
        limit: in the figure's unit, or a fraction of the uncompressed model's figure where `relative`.
        relative: whether the limit is a fraction of the uncompressed model on the same device.

    Example:
        >>> Budget.parse("ttft<=60%")
        Budget(figure='ttft', limit=0.6, relative=True)
        >>> str(Budget.parse("memory<=20GiB"))
        'memory<=20GiB'
    """

    figure: str
    limit: float
    relative: bool = False

    @classmethod
    def parse(cls, text: str) -> Budget:
        """The budget that `text` states.

        Raises:
            BadInput: it is malformed, has the wrong unit or the wrong direction.
        """
        match = _FORM.fullmatch(text.strip())
        if not match:
            raise BadInput(f"budget {text!r} is not understood; write one such as {_EXAMPLES}")
        figure, comparison, number, unit = match.group(1), match.group(2), float(match.group(3)), match.group(4) or ""
        if unit not in _UNITS[figure]:
            units = " or ".join(u or "no unit" for u in _UNITS[figure])
            raise BadInput(f"budget {text!r}: {figure} is given in {units}, as in {_EXAMPLES}")
        if (comparison == ">=") != (figure in _AT_LEAST):
            raise BadInput(f"budget {text!r} points the wrong way; write one such as {_EXAMPLES}")
        if number == 0:
            raise BadInput(f"budget {text!r} can never be held; give a limit above zero")
        return cls(figure, number * _UNITS[figure][unit], unit == "%")

    @property
    def at_least(self) -> bool:
        """Whether the figure must reach the limit rather than stay under it."""
        return self.figure in _AT_LEAST

    def absolute(self, baseline: float) -> float:
        """The limit in the figure's own unit, given the uncompressed model's figure."""
        return self.limit * baseline if self.relative else self.limit

    def holds(self, value: float, baseline: float) -> bool:
        """Whether `value` holds the budget, given the uncompressed model's figure."""
        limit = self.absolute(baseline)
        return value >= limit if self.at_least else value <= limit

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        absolute = {"memory": "GiB", "throughput": "/s", "fidelity": ""}.get(self.figure, "ms")
        unit = "%" if self.relative else absolute
        return f"{self.figure}{sign}{decimal(self.limit, factor=_UNITS[self.figure][unit])}{unit}"
