"""How figures are written in plans."""

from __future__ import annotations

from typing import Literal, cast, get_args

from .fidelity.fidelity import Fidelity

Kind = Literal["measured", "task", "prior"]


def rounded(value: float) -> float:
    """Six significant digits: what the figures carry.

    >>> rounded(123.4567891)
    123.457
    """
    return float(f"{value:.6g}")


def kind_of(fidelity: Fidelity) -> Kind:
    """How a value is known, in the words of the plan file."""
    if fidelity.kind not in get_args(Kind):
        raise ValueError(f"a fidelity of kind {fidelity.kind!r} cannot be written to a plan")
    return cast(Kind, fidelity.kind)
