"""Tuning tables: the default covers every launcher and size, a measured one goes before it, a bad one is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from foveate.common.errors import BadInput
from foveate.kernels import tuning
from foveate.kernels.dispatch import LONGEST_ROW
from foveate.kernels.tuning import DEFAULT, TuningTable, table, table_path, trying, tuned

TABLES = sorted(tuning.FOLDER.glob("*.yaml"))
ASKED = {
    name
    for path in tuning.FOLDER.parent.glob("*_triton.py")
    for name in re.findall(r'tuned\("(\w+)"', path.read_text())
}


def test_the_default_knows_what_launchers_ask_for_and_nothing_else() -> None:
    default = table(DEFAULT)
    assert default.provenance == "default"
    assert set(default.kernels) == ASKED
    for name in ASKED:
        for size in (1, 576, LONGEST_ROW):
            options = default.options(name, size)
            assert "up_to" not in options
            assert all(value > 0 and value & (value - 1) == 0 for value in options.values())


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_tables_stand_under_the_name_of_their_device(path: Path) -> None:
    found = table(DEFAULT) if path.stem == DEFAULT else tuning.validate(TuningTable, path)
    assert table_path(found.device) == path
    assert found.provenance == ("default" if path.stem == DEFAULT else "measured")


def test_the_first_choice_that_is_large_enough_is_taken() -> None:
    cpu = torch.device("cpu")
    assert tuned("select_top_k", cpu, size=4096) == {"num_warps": 4}
    assert tuned("select_top_k", cpu, size=4097) == {"num_warps": 8}


def test_a_measured_table_goes_before_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "default.yaml").write_text((tuning.FOLDER / "default.yaml").read_text())
    (tmp_path / "a_gpu.yaml").write_text(
        "device: A GPU\nprovenance: measured\nkernels:\n  select_top_k:\n  - {num_warps: 2}\n"
    )
    monkeypatch.setattr(tuning, "FOLDER", tmp_path)
    tuning.table.cache_clear()
    try:
        assert table("A GPU").options("select_top_k", 5000) == {"num_warps": 2}
        assert table("A GPU").options("match_tiles", 9) == table(DEFAULT).options("match_tiles", 9)
        assert table("Another").provenance == "default"
        (tmp_path / "bad.yaml").write_text("device: bad\nprovenance: guessed\nkernels: {}\n")
        with pytest.raises(BadInput, match="provenance"):
            table("bad")
    finally:
        tuning.table.cache_clear()


def test_a_size_that_no_choice_covers_is_an_error() -> None:
    short = TuningTable(device="x", provenance="measured", kernels={"k": [{"up_to": 8, "num_warps": 1}]})
    with pytest.raises(KeyError, match="9 tokens"):
        short.options("k", 9)


def test_options_can_be_tried() -> None:
    cpu = torch.device("cpu")
    with trying({"select_top_k": {"num_warps": 16}}):
        assert tuned("select_top_k", cpu, size=9) == {"num_warps": 16}
        assert tuned("take_in_turn", cpu, size=9) == {"num_warps": 4}
    assert tuned("select_top_k", cpu, size=9) == {"num_warps": 4}
