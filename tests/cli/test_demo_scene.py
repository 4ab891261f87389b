"""The demo's scene: a held-out photograph with enough questions, and a drawing of what a plan keeps."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from foveate.cli.demo_scene import SCENE_SEED, SPLIT, answers, answers_under, demo_scene
from foveate.cli.models import load_model
from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.testbed.scenes import make_scene


def test_the_scene_is_held_out_and_asks_at_least_five_kinds_of_question() -> None:
    scene = demo_scene()
    assert SPLIT == "heldout"
    kinds = [question.kind for question in scene.questions]
    assert len(kinds) >= 5
    assert len(set(kinds)) == len(kinds)
    assert scene.questions[0].boxes  # the drawing shows where the first answer is
    trained = make_scene(SCENE_SEED, split="train")
    assert scene.image.tobytes() != trained.image.tobytes()


@pytest.mark.usefixtures("embedded")
def test_the_drawing_has_one_outline_for_each_kept_token() -> None:
    loaded, scene = load_model("testbed", accelerator=False), demo_scene()
    plan = Plan.of(Placement("uniform", "image.projector.output", 0.25))
    under, drawing = answers_under(loaded, scene, plan)
    assert len(under) == len(answers(loaded, scene)) == len(scene.questions)
    picture = Image.open(io.BytesIO(drawing)).convert("RGB")
    assert picture.size == (3 * 224, 3 * 224)
    side = 3 * 14
    corners = [picture.getpixel((column * side, row * side)) for row in range(16) for column in range(16)]
    assert sum(corner == (255, 210, 0) for corner in corners) >= 60  # of 64; the answer's box may cover some


def test_a_demo_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    from foveate.cli import main

    occupied = tmp_path / "taken"
    occupied.write_text("x")
    assert main(["demo", "--output", str(occupied)]) == 2
    assert occupied.read_text() == "x"


def test_the_demo_plans_for_a_ttft_only(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from foveate.cli import main

    assert main(["demo", "--output", str(tmp_path / "out"), "--budget", "memory<=1GiB"]) == 2
    assert "time to first token" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
