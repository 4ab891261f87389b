"""What the package consists of, read from the disk: shared by the tests of the layout, the floors and the doctests."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from shutil import copy2

ROOT = Path(__file__).resolve().parents[2]
NOT_PACKAGES = {"tests", "examples", "benchmarks", "docs", "build", "dist", "foveate-demo"}


def folders() -> Iterator[Path]:
    """Yield the root and every folder of the package, whether it holds Python or data."""
    yield ROOT
    for top in sorted(ROOT.iterdir()):
        if top.is_dir() and top.name not in NOT_PACKAGES and not _generated(top):
            yield top
            yield from (below for below in sorted(top.rglob("*/")) if below.is_dir() and not _generated(below))


def module_files() -> Iterator[Path]:
    """Yield every Python file of the package, in order."""
    for folder in folders():
        yield from sorted(folder.glob("*.py"))


def dotted(path: Path) -> str:
    """Return the module name of a Python file, or the package name of a folder."""
    parts = [part.removesuffix(".py") for part in path.relative_to(ROOT).parts]
    return ".".join(("foveate", *(part for part in parts if part != "__init__")))


def copy_sources(target: Path) -> Path:
    """Copy what git tracks, or would track, to `target`, and return it."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            copy2(ROOT / name, target / name)
    return target


def _generated(folder: Path) -> bool:
    parts = folder.relative_to(ROOT).parts
    return any(part.startswith(".") or part == "__pycache__" or part.endswith(".egg-info") for part in parts)
