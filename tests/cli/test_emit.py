"""`foveate emit`: what it writes and says, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from foveate.runtime.emission.manifest import MANIFEST, MODULE, read_manifest

from .conftest import Foveate

WritePlan = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "kernels"


def test_a_plan_is_emitted_for_a_model(foveate: Foveate, checkpoint: Path, write_plan: WritePlan, folder: Path) -> None:
    result = foveate("emit", write_plan("norm"), "-o", folder, "--model", checkpoint, "--dtype", "float16")
    assert result.code == 0
    assert "256 to 64" in result.out
    assert "2, 2 with the gather" in result.out
    assert "tuned for default (default)" in result.out
    assert sorted(path.name for path in folder.iterdir()) == [MODULE, MANIFEST]
    manifest = read_manifest(folder)
    assert (manifest.dtype, manifest.sites[0].way) == ("float16", "emitted")


def test_what_stays_in_the_library_is_said(
    foveate: Foveate, checkpoint: Path, write_plan: WritePlan, folder: Path
) -> None:
    plan = write_plan("sparsevlm", site="decoder.layers.1")
    result = foveate("emit", plan, "-o", folder, "--model", checkpoint)
    assert result.code == 0
    assert "library: no kernel takes its raters" in result.out


def test_a_plan_that_names_an_embedded_model_needs_no_other(
    foveate: Foveate, embedded: None, write_plan: WritePlan, folder: Path
) -> None:
    from foveate.cli.models import traced
    from foveate.ir.plan import load
    from foveate.ir.plan_schema import ModelRecord

    path, graph = write_plan("uniform"), traced("testbed")
    plan = load(path)
    named = ModelRecord(name="testbed", type=graph.model_type, fingerprint=graph.fingerprint)
    type(plan)(plan.placements, model=named).save(path)
    assert foveate("emit", path, "-o", folder).code == 0
    other = ModelRecord(name="testbed", type=graph.model_type, fingerprint="sha256:0")
    type(plan)(plan.placements, model=other).save(path)
    result = foveate("emit", path, "-o", folder / "other")
    assert result.code == 2
    assert "configured otherwise" in result.sentence


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--dtype", "int8"], "float32, bfloat16, float16"),
        (["--target", "cuda:h100"], "cuda:90"),
        (["--workload", "images=3"], "workload"),
    ],
)
def test_bad_options_leave_nothing(
    options: list[str], word: str, foveate: Foveate, checkpoint: Path, write_plan: WritePlan, folder: Path
) -> None:
    result = foveate("emit", write_plan(), "-o", folder, "--model", checkpoint, *options)
    assert result.code == 2
    assert word in result.sentence
    assert not folder.exists()


def test_a_plan_of_no_known_model(foveate: Foveate, write_plan: WritePlan, folder: Path) -> None:
    result = foveate("emit", write_plan(), "-o", folder)
    assert result.code == 2
    assert "--model" in result.sentence
    assert not folder.exists()


def test_a_folder_of_someone_elses_is_left_alone(
    foveate: Foveate, checkpoint: Path, write_plan: WritePlan, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "letter.txt").write_text("keep me")
    result = foveate("emit", write_plan(), "-o", mine, "--model", checkpoint)
    assert result.code == 2
    assert "not written by foveate" in result.sentence
    assert (mine / "letter.txt").read_text() == "keep me"
