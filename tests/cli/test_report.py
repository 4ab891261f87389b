"""`foveate report`: a page with the drawing of what is kept, and one sentence where there can be none."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image


@pytest.mark.usefixtures("embedded")
def test_a_picture_is_drawn_and_the_flow_is_shown(
    foveate: Callable[..., Any], picture: Path, write_plan: Callable[..., Path], tmp_path: Path
) -> None:
    target = tmp_path / "report.html"
    found = foveate("report", write_plan(), "--model", "testbed", "--image", picture, "-o", target)
    assert found.code == 0, found.err
    page = target.read_text()
    assert "64 of 256 image tokens remain after image.projector.output" in page
    drawn = re.search(r'src="data:image/png;base64,([^"]+)"', page)
    assert drawn is not None
    assert Image.open(io.BytesIO(base64.b64decode(drawn.group(1)))).size == (672, 672)
    assert 'data-flow="before"' in page
    assert 'data-flow="after"' in page


@pytest.mark.usefixtures("embedded")
def test_the_embedded_model_has_pictures_of_its_own(
    foveate: Callable[..., Any], write_plan: Callable[..., Path], tmp_path: Path
) -> None:
    target = tmp_path / "report.html"
    assert foveate("report", write_plan(), "--model", "testbed", "-o", target).code == 0
    drawn = re.findall(r'<figure><div class="scroll"><img src="data:image/png;base64,([^"]+)"', target.read_text())
    assert len(set(drawn)) == 3


def test_a_plan_alone_is_enough(foveate: Callable[..., Any], write_plan: Callable[..., Path], tmp_path: Path) -> None:
    found = foveate("report", write_plan(), "-o", tmp_path / "report.html")
    assert found.code == 0, found.err
    assert "give --model" in (tmp_path / "report.html").read_text()


def test_bad_input_is_one_sentence(
    foveate: Callable[..., Any], picture: Path, write_plan: Callable[..., Path], tmp_path: Path
) -> None:
    plan, target = write_plan(), tmp_path / "report.html"
    assert "name it with --model" in foveate("report", plan, "--image", picture, "-o", target).sentence
    assert "there is no clip at" in foveate("report", plan, "--video", tmp_path / "none.mp4", "-o", target).sentence
    assert "does not exist" in foveate("report", plan, "-o", tmp_path / "none" / "report.html").sentence
    found = foveate("report", plan, "--model", "qwen2_vl", "--image", picture, "-o", target)
    assert found.code == 2
    assert "has no weights here" in found.sentence
    assert not target.exists()
