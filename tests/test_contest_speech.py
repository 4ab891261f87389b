"""The contest's exam about recordings that are heard in several windows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from benchmark_packages import load_script
from real_weights import speech
from real_weights.wer import words

from foveate.ir.plan import Plan

module = load_script("_speech")


@dataclass
class Deaf:
    """Hears of every window what it was told."""

    references: list[list[str]]
    told: list[str]

    def heard(self, plan: Plan | None) -> list[list[str]]:
        """The words of each window."""
        return [words(text) for text in self.told]


def test_errors_fall_on_the_recordings_that_they_were_made_in() -> None:
    pieces = [
        speech.Speech(text, np.full(13 * speech.RATE, 0.5, np.float32)) for text in ("press one", "hold the line")
    ]
    made = [window for seed in (0, 1) for window in speech.windows(pieces, shuffled=seed)]
    assert len(made) == 2
    told = [
        window.text.replace("hold the", "hold a") + (" now now" if number else "") for number, window in enumerate(made)
    ]
    exam = module.Recordings(Deaf([words(window.text) for window in made], told), made)
    last = made[1].pieces[-1].text
    found = {(window, piece): right for (window, piece), right in zip(exam.cells, exam.right(Plan.of()), strict=True)}
    assert found == {
        (0, "press one"): 2.0,
        (0, "hold the line"): 2.0,
        (1, "press one"): 2.0 - 2 * (last == "press one"),
        (1, "hold the line"): 2.0 - 2 * (last == "hold the line"),
    }
    assert exam.groups == [0, 0, 1, 1]
    assert sorted(exam.crossed) == [0, 0, 1, 1]
    assert sum(exam.whole) == 10
