"""Exit codes: from what a command raises to what the shell sees."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from foveate.cli.outcome import exit_code
from foveate.common.errors import BadInput, BudgetNotMet, InternalError, Undecided


def raising(error: BaseException) -> Callable[[], object]:
    def call() -> object:
        raise error

    return call


@pytest.mark.parametrize(
    ("error", "code"),
    [(BadInput("no."), 2), (BudgetNotMet("no."), 1), (Undecided("no."), 3), (typer.Exit(7), 7)],
)
def test_an_error_raised_on_purpose_gives_its_own_code(
    error: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(raising(error)) == code
    assert capsys.readouterr().err == ("" if isinstance(error, typer.Exit) else "foveate: no.\n")


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt(), typer.Abort()])
def test_an_interrupt_is_quiet(interrupt: BaseException, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(raising(interrupt)) == 130
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("error", [KeyError("lost"), InternalError("a promise was broken")])
def test_anything_else_is_a_bug_whose_traceback_is_saved(
    error: Exception, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert exit_code(raising(error)) == 70
    out, err = capsys.readouterr()
    (saved,) = tmp_path.iterdir()
    assert (out, len(err.splitlines())) == ("", 1)
    assert str(saved) in err
    assert "report this as a bug" in err
    text = saved.read_text()
    assert "Traceback" in text
    assert type(error).__name__ in text


def test_a_message_of_several_lines_becomes_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(raising(BadInput("first line\n  second line"))) == 2
    assert capsys.readouterr().err == "foveate: first line second line.\n"


def test_what_a_command_returns_is_no_failure() -> None:
    assert exit_code(lambda: None) == 0
    assert exit_code(lambda: 3) == 3
