"""Nearest names: what the user probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from .errors import BadInput

_LONGEST_LISTED = 12


def nearest(name: str, choices: Iterable[str]) -> str | None:
    """Return the choice that `name` most resembles, or None where nothing is near.

    Case, spaces and underscores do not count.

    >>> nearest("fastvlm", ["fastervlm", "tome"])
    'fastervlm'
    >>> nearest("zebra", ["fastervlm", "tome"]) is None
    True
    """
    by_folded = {_fold(choice): choice for choice in sorted(choices, reverse=True)}
    found = difflib.get_close_matches(_fold(name), by_folded, n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None


def unknown(kind: str, name: str, choices: Iterable[str]) -> BadInput:
    """Build the error for a name that is not among `choices`: the nearest one, or the whole list where it is short.

    >>> print(unknown("pass", "fastvlm", ["fastervlm", "tome"]))
    unknown pass 'fastvlm': did you mean 'fastervlm'?
    >>> print(unknown("pass", "zebra", ["fastervlm", "tome"]))
    unknown pass 'zebra': choose one of fastervlm, tome.
    """
    names = sorted(set(choices))
    close = nearest(name, names)
    if close is not None:
        return BadInput(f"unknown {kind} {name!r}: did you mean {close!r}?")
    if not names:
        return BadInput(f"unknown {kind} {name!r}: there is none to choose from.")
    listed = ", ".join(names[:_LONGEST_LISTED])
    more = f" and {len(names) - _LONGEST_LISTED} more" if len(names) > _LONGEST_LISTED else ""
    return BadInput(f"unknown {kind} {name!r}: choose one of {listed}{more}.")


def _fold(name: str) -> str:
    return name.strip().lower().replace("_", "-").replace(" ", "-")
