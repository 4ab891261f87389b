"""The planner's contest: what its plans are tuned on."""

from __future__ import annotations

from collections import Counter

import pytest
from benchmark_packages import load_script

from foveate.testbed.art import PHOTOGRAPHS

TURNS = len(PHOTOGRAPHS["calibration"]) + len(PHOTOGRAPHS["train"])


@pytest.mark.parametrize("testbed", ["image", "video"])
def test_plans_are_tuned_on_scenes_apart_whose_splits_count_by_their_photographs(testbed: str) -> None:
    questions = load_script("_heldout").known(testbed, 2 * TURNS)
    assert len({question.scene_seed for question in questions}) == len(questions)
    shares = Counter(question.split for question in questions)
    assert shares == {split: 2 * len(PHOTOGRAPHS[split]) for split in ("calibration", "train")}


def test_no_photograph_that_tunes_is_held_out() -> None:
    assert not set(PHOTOGRAPHS["calibration"] + PHOTOGRAPHS["train"]) & set(PHOTOGRAPHS["heldout"])
