from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from foveate.common.errors import BadInput
from foveate.common.files import read_text, write_whole


def test_text_and_bytes_come_back(tmp_path: Path) -> None:
    text, raw = "naïve\r\n✓\n", bytes(range(256))
    assert write_whole(tmp_path / "a.txt", text) == tmp_path / "a.txt"
    write_whole(tmp_path / "a.bin", raw)
    assert (tmp_path / "a.txt").read_bytes() == text.encode("utf-8")
    assert (tmp_path / "a.bin").read_bytes() == raw


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "plan.yaml"
    target.write_text("old")

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(BadInput, match="No space left on device"):
        write_whole(target, "new")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_an_existing_file_keeps_its_mode(tmp_path: Path) -> None:
    target = tmp_path / "run.sh"
    target.write_text("old")
    target.chmod(0o750)
    write_whole(target, "new")
    assert stat.S_IMODE(target.stat().st_mode) == 0o750


def test_a_new_file_has_the_mode_that_open_gives(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    write_whole(tmp_path / "whole", "")
    assert (tmp_path / "whole").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    write_whole(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


@pytest.mark.parametrize("place", ["missing/plan.yaml", "."])
def test_a_place_that_cannot_hold_a_file_is_refused(tmp_path: Path, place: str) -> None:
    with pytest.raises(BadInput, match=r"does not exist; create it first|it is a folder"):
        write_whole(tmp_path / place, "text")
    assert list(tmp_path.iterdir()) == []


def test_reading_says_what_is_wrong_with_the_file(tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match="no such file"):
        read_text(tmp_path / "missing")
    with pytest.raises(BadInput, match="not UTF-8"):
        read_text(tmp_path / "raw")
    with pytest.raises(BadInput, match="directory"):
        read_text(tmp_path)
