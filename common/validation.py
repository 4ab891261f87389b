"""pydantic at the file boundary: a model's complaints become one sentence with file, line, field and mend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

import pydantic

from .errors import BadInput
from .names import nearest
from .yaml_lines import KeyPath, Located, load, parse

Model = TypeVar("Model", bound=pydantic.BaseModel)


def validate(model: type[Model], source: Path | str | Located) -> Model:
    """Check YAML against a pydantic model and return the model's instance.

    Args:
        model: the schema; give it `extra="forbid"` so that unknown keys are refused.
        source: a `Path` is read, a `str` is YAML text itself, a `Located` was loaded before.

    Raises:
        BadInput: one sentence with the file, the line, the field's path and how to mend it.
    """
    located = _locate(source)
    if not isinstance(located.data, Mapping):
        mend = "write `key: value` lines" if isinstance(source, Path) else "write `key: value` lines, or pass a Path"
        raise located.error((), f"a mapping is expected, not {located.data!r:.60}", mend)
    try:
        return model.model_validate(located.data)
    except pydantic.ValidationError as error:
        raise complaint(model, error, located) from error


def complaint(model: type[pydantic.BaseModel], error: pydantic.ValidationError, located: Located) -> BadInput:
    """Turn a pydantic error about `located` into one sentence about its first fault, unknown keys before all else."""
    faults = error.errors(include_url=False)
    # A misspelt key shows twice, as unknown and as missing; the unknown one says how to mend both.
    first = min(faults, key=lambda fault: (fault["type"] != "extra_forbidden", located.line(fault["loc"]) or 0))
    path = _path_in(located, first["loc"], missing=first["type"] == "missing")
    message, mend = _describe(model, first, path)
    others = f" (and {len(faults) - 1} more)" if len(faults) > 1 and first["type"] != "extra_forbidden" else ""
    return located.error(path, message + others if mend else message, mend)


def _locate(source: Path | str | Located) -> Located:
    if isinstance(source, Located):
        return source
    return load(source) if isinstance(source, Path) else parse(source)


def _path_in(located: Located, location: tuple[str | int, ...], *, missing: bool) -> KeyPath:
    """Keep what the text holds of pydantic's location: it also names union members and validators."""
    path: KeyPath = ()
    for index, item in enumerate(location):
        if (*path, item) in located.lines or (missing and index == len(location) - 1):
            path = (*path, item)
    return path


def _describe(model: type[pydantic.BaseModel], fault: Any, path: KeyPath) -> tuple[str, str | None]:
    field = _dotted(path)
    if fault["type"] == "extra_forbidden":
        return _unknown_key(model, path)
    if fault["type"] == "missing":
        return f"{field} is missing", "add it"
    text = str(fault["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if fault["type"] in ("value_error", "assertion_error"):
        return f"{field}: {text}" if field else text, None
    return f"{field} is {fault['input']!r:.60}", text.replace("Input should", "it should")


def _unknown_key(model: type[pydantic.BaseModel], path: KeyPath) -> tuple[str, str | None]:
    choices = sorted(_keys_at(model, path[:-1]))
    close = nearest(str(path[-1]), choices)
    message = f"unknown key {_dotted(path)!r}"
    if close is not None:
        return f"{message}: did you mean {close!r}?", None
    return message, f"remove it, or use one of {', '.join(choices)}" if choices else "remove it"


def _keys_at(model: type[pydantic.BaseModel], path: KeyPath) -> set[str]:
    """Return the keys that the model takes below `path`."""
    models = [model]
    for item in path:
        below = [
            inner
            for outer in models
            for name, field in outer.model_fields.items()
            if item in (name, field.alias)
            for inner in _models_in(field.annotation)
        ]
        models = below or models  # a list's index or a dict's key leads to no field: stay
    return {field.alias or name for outer in models for name, field in outer.model_fields.items()}


def _models_in(annotation: Any) -> Iterator[type[pydantic.BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _dotted(path: KeyPath) -> str:
    """Write a key path the way people do.

    >>> _dotted(("placements", 0, "keep"))
    'placements[0].keep'
    """
    text = "".join(f"[{item}]" if isinstance(item, int) else f".{item}" for item in path)
    return text.removeprefix(".")
