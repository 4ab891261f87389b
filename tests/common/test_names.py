from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foveate.common.names import nearest, unknown

METHODS = ["divprune", "fastervlm", "fastv", "tome", "visionzip"]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("fastvlm", "fastervlm"), ("FastV", "fastv"), ("vision_zip", "visionzip"), ("divprun", "divprune")],
)
def test_typing_mistakes_find_their_name(typed: str, meant: str) -> None:
    assert nearest(typed, METHODS) == meant


@given(st.lists(st.text("abcdef-", min_size=1), min_size=1, unique=True).flatmap(lambda xs: st.sampled_from(xs)))
def test_a_name_is_nearest_to_itself(name: str) -> None:
    assert nearest(name, [name, "zzzzzz"]) == name


def test_nothing_near_lists_the_choices() -> None:
    assert nearest("quux", METHODS) is None
    assert str(unknown("pass", "quux", METHODS)) == (
        "unknown pass 'quux': choose one of divprune, fastervlm, fastv, tome, visionzip."
    )


def test_a_long_list_is_cut_and_an_empty_one_said() -> None:
    many = [f"name{number:02d}" for number in range(20)]
    assert str(unknown("pass", "quux", many)).endswith("name11 and 8 more.")
    assert str(unknown("pass", "quux", [])) == "unknown pass 'quux': there is none to choose from."
