"""The errors that foveate raises on purpose, each with the exit code that the command line returns for it."""

from __future__ import annotations

import os
from typing import ClassVar

EXIT_DONE = 0


class FoveateError(Exception):
    """Base of every error raised on purpose. Its text is one sentence: what, where, how to mend."""

    exit_code: ClassVar[int] = 70


class BadInput(FoveateError):
    """What the user gave cannot be used: a file, an option, a name, a model that is not supported.

    >>> print(BadInput.at("plan.yaml", 3, "keep is 1.5", "write a fraction above 0 and at most 1"))
    plan.yaml, line 3: keep is 1.5; write a fraction above 0 and at most 1.
    """

    exit_code: ClassVar[int] = 2

    @classmethod
    def at(cls, path: str | os.PathLike[str], line: int | None, message: str, mend: str | None = None) -> BadInput:
        """Build the one-sentence error for a place in a file; a `line` of None names the file only."""
        place = os.fspath(path) if line is None else f"{os.fspath(path)}, line {line}"
        sentence = message.rstrip(".") if mend is None else f"{message.rstrip('.')}; {mend.rstrip('.')}"
        ending = "" if sentence.endswith("?") else "."
        return cls(f"{place}: {sentence}{ending}")


class BudgetNotMet(FoveateError):
    """No plan holds the budget, or a checked plan breaks it."""

    exit_code: ClassVar[int] = 1


class Undecided(FoveateError):
    """The measurement's noise straddles the limit, so neither verdict would be honest."""

    exit_code: ClassVar[int] = 3


class InternalError(FoveateError):
    """A promise that foveate makes to itself was broken: a bug to report."""

    exit_code: ClassVar[int] = 70
