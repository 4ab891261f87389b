"""The shipped video checkpoint: small, loadable, and good at its job through its own ``generate``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from foveate.testbed import checkpoint_path, load
from foveate.testbed.evaluate import accuracy, answer_all
from foveate.testbed.video import samples


@pytest.fixture(scope="module")
def loaded() -> tuple[Any, Any]:
    return load("video")


def test_the_weights_are_half_precision_and_at_most_30_megabytes() -> None:
    from safetensors.torch import load_file

    weights = checkpoint_path("video") / "model.safetensors"
    assert weights.stat().st_size <= 30e6
    assert {value.dtype for value in load_file(weights).values()} == {torch.float16}


def test_it_answers_and_padding_changes_nothing(loaded: tuple[Any, Any]) -> None:
    drawn = samples("heldout", 12)
    together, alone = answer_all(*loaded, drawn, batch_size=12), answer_all(*loaded, drawn[:4], batch_size=1)
    assert together[:4] == alone
    assert sum(answer == sample.answer for answer, sample in zip(together, drawn, strict=True)) >= 8


def test_the_clip_decides(loaded: tuple[Any, Any]) -> None:
    """With the frames of other clips the answers must get worse: nothing is read off the question alone."""
    drawn = [sample for sample in samples("heldout", 40) if sample.kind in ("what-moves", "first-last", "at-time")]
    swapped = [replace(sample, frames=other.frames) for sample, other in zip(drawn, drawn[7:] + drawn[:7], strict=True)]
    right, wrong = (accuracy(answer_all(*loaded, part), drawn).overall.value for part in (drawn, swapped))
    assert right > wrong + 0.4


@pytest.mark.slow
def test_it_is_good_at_what_it_was_trained_for(loaded: tuple[Any, Any]) -> None:
    drawn = samples("heldout", 300)
    scored = accuracy(answer_all(*loaded, drawn), drawn)
    assert scored.overall.low > 0.8, scored.table()
