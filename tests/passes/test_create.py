"""Making a pass from its name and the parameters of a plan."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from foveate.common.errors import BadInput
from foveate.ir.layout import Layout
from foveate.ir.signal import cls_row
from foveate.passes import REGISTRY, Tokens, create


def test_defaults_and_parameters() -> None:
    assert create("random") == REGISTRY.get("random")()
    assert create("random", {"seed": 3}).seed == 3
    assert create("fastervlm", {"layer": -2}).layer == -2
    assert create("fastervlm", {"layer": None}).layer is None


@pytest.mark.parametrize(
    ("name", "params", "sentence"),
    [
        ("fastvlm", {}, "unknown pass 'fastvlm': did you mean 'fastervlm'?"),
        ("random", {"sed": 1}, "unknown parameter of random 'sed': did you mean 'seed'?"),
        ("random", {"seed": 1.5}, "parameter seed of random is 1.5; it must be a int (default 0)"),
        ("random", {"seed": True}, "parameter seed of random is True; it must be a int (default 0)"),
        ("random", {"seed": "1"}, "parameter seed of random is '1'; it must be a int (default 0)"),
    ],
)
def test_bad_input_is_one_sentence(name: str, params: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadInput) as refused:
        create(name, params)
    assert str(refused.value) == sentence


def test_a_signal_that_was_not_declared_is_refused() -> None:
    with pytest.raises(BadInput, match="without declaring it; return it from needs"):
        Tokens(torch.zeros(1, 4, 2), Layout(4), {}).signal(cls_row())
