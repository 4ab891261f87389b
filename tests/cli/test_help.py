"""Help: an example for every command, no colour codes in a pipe, nothing heavy imported."""

from __future__ import annotations

import subprocess
import sys

import pytest

from .conftest import Foveate

COMMANDS = (
    *("demo", "trace", "plan", "explain", "diff", "run", "bench", "check"),
    *("validate", "models", "methods", "devices", "calibrate"),
)
HEAVY = ("torch", "transformers", "optuna", "networkx", "numpy", "PIL")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(foveate: Foveate, command: str) -> None:
    shown = foveate(command, "--help")
    assert shown.code == 0
    assert f"Example: foveate {command}" in shown.out
    assert not shown.err


def test_the_root_lists_every_command(foveate: Foveate) -> None:
    shown = foveate("--help")
    assert shown.code == 0
    assert all(f" {command} " in shown.out for command in COMMANDS)


def test_without_arguments_the_help_is_shown(foveate: Foveate) -> None:
    shown = foveate()
    assert shown.code == 0
    assert "Usage: foveate" in shown.out


def test_output_in_a_pipe_has_no_colour_codes(foveate: Foveate) -> None:
    for arguments in (("--help",), ("methods",), ("devices",), ("plan", "--help"), ("methods", "fastv")):
        assert "\x1b" not in foveate(*arguments).out


def test_the_version_is_the_packages(foveate: Foveate) -> None:
    from foveate import __version__

    assert foveate("--version").out == f"foveate {__version__}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["plan", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys; from foveate.cli import main; "
        f"code = main({arguments!r}); heavy = sorted(set({HEAVY!r}) & set(sys.modules)); "
        "print('heavy:', heavy); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "heavy: []"
