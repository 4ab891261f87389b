"""Verdicts as GitHub annotations: workflow commands that the runner shows beside the lines of the plan."""

from __future__ import annotations

from collections.abc import Sequence

from .verdicts import Checked, sentence

_LEVELS = {"broken": "error", "undecided": "warning", "held": "notice"}


def github(checks: Sequence[Checked]) -> str:
    """One line for each limit, in the order of severity: GitHub shows ten of a kind for each step."""
    lines = [
        annotation("error", "the plan does not fit", str(item.error), file=item.plan, line=item.error_line)
        for item in checks
        if item.error is not None
    ]
    for wanted, level in _LEVELS.items():
        lines += [
            annotation(level, f"{verdict.budget} is {wanted}", sentence(verdict), file=item.plan, line=item.line)
            for item in checks
            for verdict in item.verdicts
            if verdict.verdict == wanted
        ]
    return "".join(f"{line}\n" for line in lines)


def annotation(level: str, title: str, message: str, *, file: str, line: int = 1) -> str:
    """One workflow command.

    >>> annotation("error", "a: b", "50 % past", file="plan.yaml", line=3)
    '::error file=plan.yaml,line=3,title=a%3A b::50 %25 past'
    """
    return f"::{level} file={_property(file)},line={line},title={_property(title)}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
