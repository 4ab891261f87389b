"""Budgets taken together: what no plan could hold is refused before any work."""

from __future__ import annotations

from collections.abc import Sequence

from ..common.errors import BadInput
from ..ir.budget import Budget

Budgets = Budget | str | Sequence[Budget | str]


def parse_budgets(budget: Budgets) -> tuple[Budget, ...]:
    """One budget or several, parsed, each once.

    Raises:
        BadInput: there is none, one is malformed, or they contradict each other.

    Example:
        >>> [str(limit) for limit in parse_budgets(["ttft<=60%", "memory<=20GiB", "ttft<=60%"])]
        ['ttft<=60%', 'memory<=20GiB']
    """
    items = [budget] if isinstance(budget, (Budget, str)) else list(budget)
    parsed = tuple(dict.fromkeys(Budget.parse(item) if isinstance(item, str) else item for item in items))
    if not parsed:
        raise BadInput("a plan needs a budget; give one such as ttft<=60%")
    _consistent(parsed)
    return parsed


def _consistent(budgets: Sequence[Budget]) -> None:
    """Refuse what no plan can hold, whatever the model: figures that bound each other, and a fidelity that forbids all.

    Raises:
        BadInput: naming the two limits that exclude each other.
    """
    floor = max((b for b in budgets if b.figure == "fidelity"), key=lambda b: b.limit, default=None)
    if floor is not None and floor.limit > 1:
        raise BadInput(f"{floor} can never be held, since fidelity is at most 1; give a floor such as fidelity>=0.98")
    for limit in budgets:
        if floor is not None and floor.limit == 1 and limit.relative and limit.limit < 1:
            raise BadInput(
                f"{floor} and {limit} contradict each other: the first allows no compression, the second asks for it; "
                "loosen one of them"
            )
        for other in budgets:
            if limit.figure == other.figure and limit.relative == other.relative and limit.limit != other.limit:
                raise BadInput(f"{limit} and {other} limit the same figure twice; keep the one that is meant")
