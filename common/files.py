"""Files written whole or not at all, and read with errors that name the file."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from .errors import BadInput


def write_whole(path: str | os.PathLike[str], data: str | bytes) -> Path:
    """Write `data` to `path` so that a reader sees the old file or the new one, never a part.

    The bytes go to a temporary file in the same folder, reach the disk, and take the place of `path` in one step.
    Text is written as UTF-8 with its line endings as they are. An existing file keeps its mode, and a symbolic link
    stays a link: the file that it points to is replaced.

    Raises:
        BadInput: the folder is missing, or it cannot be written.
    """
    target = Path(path)
    final = target.resolve()
    if not final.parent.is_dir():
        raise BadInput(f"Cannot write {target}: the folder {final.parent} does not exist; create it first.")
    if final.is_dir():
        raise BadInput(f"Cannot write {target}: it is a folder; name a file in it.")
    content = data.encode("utf-8") if isinstance(data, str) else data
    try:
        _replace(final, content)
    except OSError as error:
        raise BadInput(f"Cannot write {target}: {error.strerror}; choose a path that you may write to.") from error
    return target


def read_text(path: str | os.PathLike[str]) -> str:
    """Return the UTF-8 text of `path`.

    Raises:
        BadInput: the file is missing, is a folder, may not be read, or is not UTF-8 text.
    """
    source = Path(path)
    try:
        return source.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise BadInput(f"Cannot read {source}: there is no such file; check the path.") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"Cannot read {source}: it is not UTF-8 text; give a text file.") from error
    except OSError as error:
        raise BadInput(f"Cannot read {source}: {error.strerror}; give a file that you may read.") from error


def _replace(final: Path, content: bytes) -> None:
    part = final.with_name(f".{secrets.token_hex(8)}.part")
    # 0o666 is cut by the process's umask, as for a file that plain `open` makes.
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        if final.exists():
            part.chmod(stat.S_IMODE(final.stat().st_mode))
        part.replace(final)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
