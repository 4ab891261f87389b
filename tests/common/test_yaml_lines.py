from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from foveate.common.errors import BadInput
from foveate.common.yaml_lines import dump, load, parse

PLAN = """\
# a plan
foveate: 1
placements:
- pass: divprune
  keep: 0.25
- pass: fastv

  params: {layer: 2,
           sink: 4}
"""


def test_data_is_what_a_plain_loader_reads() -> None:
    assert parse(PLAN).data == yaml.safe_load(PLAN)


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ((), 2),
        (("placements",), 3),
        (("placements", 0, "keep"), 5),
        (("placements", 1), 6),
        (("placements", 1, "params", "sink"), 9),
        (("placements", 1, "params", "missing"), 8),
        (("elsewhere",), 2),
    ],
)
def test_lines_are_those_of_the_key_or_its_nearest_ancestor(path: tuple[str | int, ...], line: int) -> None:
    assert parse(PLAN).line(path) == line


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a: 1\nb: 2\na: 3\n", r"plan\.yaml, line 3: the key 'a' is already on line 1"),
        ("a:\n  b: 1\n  b: 2\n", r"plan\.yaml, line 3: the key 'b' is already on line 2"),
        ("a: [1, 2\nb: 3\n", r"plan\.yaml, line 2: "),
        ("a: &x [1]\nb: *x\n", r"plan\.yaml, line 2: aliases are not allowed"),
        ("a: 1\nb: !!python/object:os.system {}\n", r"plan\.yaml, line 2: "),
        ("? [a, b]\n: 1\n", r"plan\.yaml, line 1: a key must be plain text"),
        ("a: \x00\n", r"plan\.yaml: this is not YAML"),
        ("a: 1\n---\nb: 2\n", r"plan\.yaml, line 2: "),
        (f"a: {'[' * 5000}{']' * 5000}\n", r"plan\.yaml: it is nested too deeply"),
        ("when: 2026-99-99\n", r"plan\.yaml: "),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "plan.yaml").write_text(text)
    with pytest.raises(BadInput, match=complaint):
        load(tmp_path / "plan.yaml")


def test_an_empty_text_is_nothing() -> None:
    assert parse("# only a comment\n").data is None


@pytest.mark.parametrize(("text", "value"), [("2e12", 2e12), ("1e-3", 1e-3), ("-1.5E+3", -1500.0), ("'2e12'", "2e12")])
def test_exponents_need_no_dot(text: str, value: object) -> None:
    assert parse(f"a: {text}").data == {"a": value}


def test_short_lists_of_scalars_stand_on_one_line_and_keys_keep_their_order() -> None:
    data = {"sites": ["b", "a"], "long": ["x" * 50, "y" * 50], "rows": [{"pass": "tome", "keep": 0.5}]}
    assert dump(data).splitlines() == [
        "sites: [b, a]",
        "long:",
        f"- {'x' * 50}",
        f"- {'y' * 50}",
        "rows:",
        "- pass: tome",
        "  keep: 0.5",
    ]


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
TREES = st.recursive(
    SCALARS, lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(), below, max_size=4), max_leaves=12
)


@given(TREES)
def test_what_is_dumped_parses_back(data: Any) -> None:
    found = parse(dump(data)).data
    assert found == data
    assert repr(found) == repr(data)  # 1, 1.0 and True are equal but not the same
