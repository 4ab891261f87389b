"""A PostgreSQL server of a test's own, in a temporary folder and on a free port."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_DEBIAN = Path("/usr/lib/postgresql")
_USER = "postgres"


def missing() -> str | None:
    """Why no server can be started here, None where one can."""
    if _tool("initdb") is None:
        return "PostgreSQL's initdb is not installed (Debian: apt-get install postgresql)"
    if os.getuid() == 0 and shutil.which("runuser") is None:
        return "PostgreSQL does not run as root, and runuser is not installed"
    return None


@contextmanager
def cluster(database: str = "studies") -> Iterator[str]:
    """The URL of an empty database on a server that lives as long as the block."""
    folder = Path(tempfile.mkdtemp(prefix="foveate-postgres-"))
    try:
        if os.getuid() == 0:
            shutil.chown(folder, _USER)
        port = _free_port()
        _run("initdb", "-D", str(folder / "data"), "-U", _USER, "-A", "trust", "--no-sync")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c fsync=off -k {folder}"
        _run("pg_ctl", "-D", str(folder / "data"), "-l", str(folder / "log"), "-w", "-o", options, "start")
        try:
            _run("createdb", "-h", "127.0.0.1", "-p", str(port), "-U", _USER, database)
            yield f"postgresql://{_USER}@127.0.0.1:{port}/{database}"
        finally:
            _run("pg_ctl", "-D", str(folder / "data"), "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _tool(name: str) -> str | None:
    found = shutil.which(name)
    if found is not None:
        return found
    versions = sorted(_DEBIAN.glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]))
    return str(versions[-1]) if versions else None


def _run(name: str, *arguments: str) -> None:
    """Run one of PostgreSQL's tools, as its own user where this one is root."""
    command = [_tool(name) or name, *arguments]
    command = ["runuser", "-u", _USER, "--", *command] if os.getuid() == 0 else command
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", timeout=60)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
