"""`--methods FILE`: compression methods of the user's own, registered by running a Python file."""

from __future__ import annotations

import functools
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..common.errors import BadInput, FoveateError

if TYPE_CHECKING:
    from ..passes import Pass


@contextmanager
def own_methods(path: Path | None) -> Iterator[list[type[Pass]]]:
    """Register the passes of the file, and blame it by line for what it raises inside the block; None does nothing.

    Yields:
        The passes that the file registers.

    Raises:
        BadInput: there is no such file, it registers no pass, or its code raises, when it is read or later.
    """
    if path is None:
        yield []
        return
    if not path.is_file():
        raise BadInput(f"there is no method file at {path}; give a Python file that registers passes.")
    with _blamed(path):
        yield _run(path)


MethodsOption = Annotated[
    Path | None,
    typer.Option("--methods", metavar="FILE", help="Passes of your own: a Python file.", show_default=False),
]


def takes_methods(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the option `--methods FILE`: it runs with the passes of that file registered."""

    @functools.wraps(command)
    def wrapped(*args: Any, methods: Path | None = None, **kwargs: Any) -> None:
        with own_methods(methods):
            command(*args, **kwargs)

    own = inspect.Parameter("methods", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=MethodsOption)
    found = inspect.signature(command, eval_str=True)
    wrapped.__signature__ = found.replace(parameters=[*found.parameters.values(), own])  # type: ignore[attr-defined]
    wrapped.__annotations__ = {**command.__annotations__, "methods": MethodsOption}
    return wrapped


def _run(path: Path) -> list[type[Pass]]:
    from ..passes import REGISTRY

    before = set(REGISTRY.names())
    spec = importlib.util.spec_from_file_location(f"foveate_methods_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise BadInput(f"{path} is no Python file; give one whose name ends in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    found = [cls for name, cls in REGISTRY.items().items() if name not in before or cls.__module__ == spec.name]
    if not found:
        raise BadInput(f"{path} registers no pass; decorate a class with @register from foveate.passes.")
    return found


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
