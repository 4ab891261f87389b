"""A calibration that was interrupted goes on where it was, and only under the same circumstances."""

from __future__ import annotations

from pathlib import Path

import pytest

from foveate.cost_models.journal import Journal

HERE = {"machine": "a", "threads": 2, "dtypes": ("float32",)}


def _must_not_run() -> list[float]:
    raise AssertionError("timed again")


def test_what_was_timed_is_not_timed_again(tmp_path: Path) -> None:
    path = tmp_path / "journal.json"
    first = Journal(path, HERE)
    assert first.resumed == 0
    assert first.timed("gemm", lambda: [1.0, 2.0]) == [1.0, 2.0]
    with pytest.raises(KeyboardInterrupt):
        first.timed("attention", _interrupted)
    again = Journal(path, HERE)
    assert again.resumed == 1
    assert again.timed("gemm", _must_not_run) == [1.0, 2.0]
    assert again.timed("attention", lambda: [3.0]) == [3.0]
    again.finish()
    assert not path.exists()


@pytest.mark.parametrize("changed", [{"machine": "b"}, {"threads": 1}, {"dtypes": ("bfloat16",)}])
def test_other_circumstances_start_anew(tmp_path: Path, changed: dict[str, object]) -> None:
    Journal(tmp_path / "j.json", HERE).timed("gemm", lambda: [1.0])
    assert Journal(tmp_path / "j.json", {**HERE, **changed}).resumed == 0


@pytest.mark.parametrize("text", ["", "{", "[]", '{"foveate_calibration": 2}', '{"foveate_calibration": 1}'])
def test_a_damaged_file_starts_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / "j.json").write_text(text, encoding="utf-8")
    assert Journal(tmp_path / "j.json", HERE).resumed == 0


def test_without_a_file_everything_is_timed() -> None:
    kept = Journal(None, HERE)
    assert kept.timed("gemm", lambda: [1.0]) == [1.0]
    kept.finish()


def _interrupted() -> list[float]:
    raise KeyboardInterrupt
