"""The wheel and the sdist: built from a copy of the sources, installed elsewhere, and used outside the clone."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest

import layout

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
PLAN = """foveate: 1
placements:
- {pass: uniform, site: image.projector.output, keep: 0.25}
device: {name: generic-cpu, dtype: float32, profile: prior}
budget: ["ttft<=500%"]
"""
APPLY = """
import torch, foveate, sys
from foveate.testbed import load
model, processor = load("image")
from PIL import Image
inputs = processor(text="<image> is there a dog", images=Image.new("RGB", (224, 224)), return_tensors="pt")
with foveate.apply(model, "plan.yaml") as handle, torch.inference_mode():
    model(**inputs)
    print(handle.selections["image.projector.output"].shape)
print(foveate.__file__)
"""


def run(*command: str | Path, cwd: Path, path: Path | None = None) -> str:
    """Run a command in a fresh process and return what it prints; `path` is where foveate is installed."""
    environment = {**os.environ, "PYTHONSAFEPATH": "1", "HF_HUB_OFFLINE": "1"}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    ended = subprocess.run(list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout.strip()


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    source = layout.copy_sources(folder / "source")
    code = f"from setuptools import build_meta; print(build_meta.build_sdist({str(folder)!r}))"
    run(sys.executable, "-c", code, cwd=source)
    (made,) = folder.glob("foveate-*.tar.gz")
    return made


@pytest.fixture(scope="module")
def wheel(sdist: Path) -> Path:
    """Built from the unpacked sdist, so that nothing but the sdist is needed."""
    with tarfile.open(sdist) as archive:
        archive.extractall(sdist.parent / "unpacked", filter="data")
    (source,) = (sdist.parent / "unpacked").iterdir()
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", sdist.parent]
    run(sys.executable, "-m", "pip", "wheel", *options, source, cwd=sdist.parent)
    (made,) = sdist.parent.glob("foveate-*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    target = wheel.parent / "installed"
    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", target, wheel, cwd=wheel.parent)
    return target


def test_the_sdist_holds_what_the_wheel_needs(sdist: Path, wheel: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    assert {"README.md", "LICENSE", "pyproject.toml"} <= names
    with ZipFile(wheel) as built:
        held = {name.removeprefix("foveate/") for name in built.namelist() if name.startswith("foveate/")}
    assert held <= names
    assert {path.relative_to(layout.ROOT).as_posix() for path in layout.module_files()} <= held


def test_it_works_outside_the_clone(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text(PLAN)
    out = run(sys.executable, "-c", APPLY, cwd=tmp_path, path=installed).splitlines()
    assert out[-1].startswith(str(installed)), "another foveate was imported"
    assert "64" in out[0]  # a quarter of 256


def test_its_commands_work_outside_the_clone(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text(PLAN)
    script = installed / "bin" / "foveate"
    for arguments in (
        ["--version"],
        ["methods"],
        ["devices"],
        ["trace", "testbed"],
        ["validate", "plan.yaml", "--model", "testbed"],
        ["check", "plan.yaml", "--model", "testbed", "--format", "junit"],
    ):
        assert run(sys.executable, script, *arguments, cwd=tmp_path, path=installed), arguments
