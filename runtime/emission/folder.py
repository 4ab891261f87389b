"""Folders written whole or not at all."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...common.errors import BadInput


@contextmanager
def whole_folder(target: Path, *, marker: str) -> Iterator[Path]:
    """A new folder beside `target` to write into, which takes its place when the block ends well.

    An existing `target` is replaced only where it is empty or holds a file `marker`, the sign of an earlier run.

    Raises:
        BadInput: something else stands at `target`, or it cannot be written.
    """
    final = target.parent.resolve() / target.name
    if not final.parent.is_dir():
        raise BadInput(f"Cannot write {target}: the folder {final.parent} does not exist; create it first.")
    if final.is_symlink() or (final.exists() and not _replaceable(final, marker)):
        raise BadInput(f"Cannot write {target}: it exists and was not written by foveate; name a new folder.")
    part = final.with_name(f".{secrets.token_hex(8)}.part")
    try:
        part.mkdir()
        yield part
        _swap(part, final)
    except OSError as error:
        raise BadInput(f"Cannot write {target}: {error.strerror}; choose a path that you may write to.") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _replaceable(folder: Path, marker: str) -> bool:
    return folder.is_dir() and ((folder / marker).is_file() or not any(folder.iterdir()))


def _swap(part: Path, final: Path) -> None:
    """Put `part` in the place of `final`; where that fails the old folder comes back."""
    if not final.exists():
        part.rename(final)
        return
    old = final.with_name(f".{secrets.token_hex(8)}.old")
    final.rename(old)
    try:
        part.rename(final)
    except OSError:
        old.rename(final)
        raise
    shutil.rmtree(old, ignore_errors=True)
