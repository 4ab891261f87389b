"""`--methods FILE`: compression methods of the user's own, registered by running a Python file."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..common.errors import BadInput, FoveateError


@contextmanager
def own_methods(path: Path | None) -> Iterator[None]:
    """Register the passes of the file, and blame it by line for what it raises inside the block; None does nothing.

    Raises:
        BadInput: there is no such file, it registers no pass, or its code raises, when it is read or later.
    """
    if path is None:
        yield
        return
    if not path.is_file():
        raise BadInput(f"there is no method file at {path}; give a Python file that registers passes.")
    with _blamed(path):
        _run(path)
        yield


def _run(path: Path) -> None:
    from ..passes import REGISTRY

    before = set(REGISTRY.names())
    spec = importlib.util.spec_from_file_location(f"foveate_methods_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise BadInput(f"{path} is no Python file; give one whose name ends in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    found = set(REGISTRY.names()) - before
    if not found and not any(_is_from(REGISTRY.get(name), spec.name) for name in before):
        raise BadInput(f"{path} registers no pass; decorate a class with @register from foveate.passes.")


def _is_from(cls: type, module: str) -> bool:
    return cls.__module__ == module


@contextmanager
def _blamed(path: Path) -> Iterator[None]:
    """Turn what the file's code raises into one sentence with its line; our own errors pass."""
    try:
        yield
    except FoveateError:
        raise
    except Exception as error:
        line = _line(error, path)
        if line is None:
            raise
        reason = " ".join(traceback.format_exception_only(error)[-1].split())
        raise BadInput.at(path, line, f"the method raised {reason}", "mend the method") from error


def _line(error: Exception, path: Path) -> int | None:
    """The last line of the file that the error went through, None where it did not."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return error.lineno
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename).resolve() == path.resolve()]
    return lines[-1] if lines else None
