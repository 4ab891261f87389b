"""From what happened to an exit code, and one sentence on standard error where something went wrong."""

from __future__ import annotations

import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import typer

from ..common.errors import EXIT_DONE, FoveateError, InternalError
from ..common.files import write_whole

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


def exit_code(call: Callable[[], object]) -> int:
    """Run `call` and return the exit code of docs/formats.md; what it raises becomes one sentence.

    A code returned by `call` (an int) is passed on; `KeyboardInterrupt` gives 130 without a word.
    """
    try:
        result = call()
    except (KeyboardInterrupt, typer.Abort):
        return EXIT_INTERRUPTED
    except typer.Exit as error:
        return error.exit_code
    except typer.TyperException as error:
        _complain(_usage_sentence(error))
        return EXIT_USAGE
    except InternalError as error:
        return _bug(error)
    except FoveateError as error:
        _complain(str(error))
        return error.exit_code
    except Exception as error:  # whatever else escapes is a bug of ours
        return _bug(error)
    return result if isinstance(result, int) else EXIT_DONE


def _usage_sentence(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "foveate"
    return f"{error.format_message().rstrip('.')}; see `{command} --help`"


def _complain(sentence: str) -> None:
    """Print one line; the console of rich is not used, because it would wrap it."""
    line = " ".join(sentence.split())
    ending = "" if line.endswith((".", "?", "!")) else "."
    print(f"foveate: {line}{ending}", file=sys.stderr)


def _bug(error: Exception) -> int:
    summary = " ".join(traceback.format_exception_only(error)[-1].split()).rstrip(".")
    saved = _save_traceback(error)
    where = f"attach {saved}, which holds the traceback" if saved else "attach what you ran and this line"
    _complain(f"internal error ({summary[:200]}): please report this as a bug of foveate and {where}")
    return InternalError.exit_code


def _save_traceback(error: Exception) -> Path | None:
    """Write the traceback to a new file in the folder for temporary files; None where even that fails."""
    lines = [f"foveate {' '.join(sys.argv[1:])}", f"Python {platform.python_version()} on {platform.platform()}", ""]
    text = "\n".join(lines) + "\n" + "".join(traceback.format_exception(error))
    try:
        return write_whole(Path(tempfile.gettempdir()) / f"foveate-bug-{time.time_ns()}.txt", text)
    except (FoveateError, OSError):
        return None
