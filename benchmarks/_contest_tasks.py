"""What a contest of plans is about: a model, calibration samples, and two exams, one of them held out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from _heldout import WORKLOADS, HeldOut, drawn, known
from _marks import Exam
from _speech import NEW_TOKENS, Listener, Recordings, samples_of
from real_weights import speech, whisper_weights

from foveate.planner.fidelity.samples import CalibrationSample, from_testbed
from foveate.testbed import load

_AT_ONCE = {"image": 1, "video": 4}
"""Questions in one request. A clip alone takes so small a model 0.2 s, of which each step of a plan costs a hundredth
or two whatever it drops; beside the time of four clips that counts less."""

_PROBED = 240
"""Calibration questions by which budgets are chosen."""

_HELD_OUT, _FAR_BEHIND = 5000, 2000
"""Held-out questions of a testbed; those that rivals far behind are asked."""

_PACKINGS, _HEARD = 6, 5
"""How often the recordings that calibrate are packed into windows, and those that are held out."""


@dataclass(frozen=True)
class Task:
    """One model and what it is asked.

    Attributes:
        name: as on the command line. items: what an exam counts, in the plural.
        workload: one request. new_tokens: the longest answer.
        asked, decisive: calibration samples of the search, and of the decision between its finalists.
        probe: an exam on calibration items, by which budgets are chosen. held_out: the one that counts.
        first: the first items of `held_out`, enough for rivals that are far behind.
        few: passes enough for a quick run.
    """

    name: str
    items: str
    model: Any
    workload: str
    new_tokens: int
    asked: list[CalibrationSample]
    decisive: list[CalibrationSample]
    probe: Exam
    held_out: Exam
    first: Exam
    few: tuple[str, ...]


@dataclass(frozen=True)
class Size:
    """How much is asked: held-out items (None: the task's own number), calibration samples of the search, and whether
    the run shall be quick."""

    items: int | None
    samples: int
    quick: bool


def testbed(name: str, size: Size) -> Task:
    """A trained testbed and questions about its scenes, 5000 of them held out."""
    model, processor = load(name)
    asked, decisive = (24, 12) if size.quick else (size.samples, 5 * size.samples)  # few finalists, so more each
    made = from_testbed(known(name, asked + decisive), processor)
    held_out = drawn(name, "heldout", 96 if size.quick else size.items or _HELD_OUT)
    return Task(
        name=name,
        items="questions",
        model=model,
        workload=f"{WORKLOADS[name]},batch={_AT_ONCE[name]}",
        new_tokens=5,
        asked=made[:asked],
        decisive=made[asked:],
        probe=HeldOut(model, processor, known(name, 24 if size.quick else _PROBED)),
        held_out=HeldOut(model, processor, held_out),
        first=HeldOut(model, processor, held_out[:_FAR_BEHIND]),
        few=("divprune", "fastv"),
    )


def whisper(size: Size) -> Task:
    """Whisper tiny.en and windows of recorded speech; every third recording calibrates, the others are held out.

    What is recorded is packed into windows several times, each time in another order.

    Raises:
        BadInput: a package with weights or recordings cannot be had.
    """
    model, tokenizer = whisper_weights.load("tiny.en")
    recorded = speech.prompts()
    known = samples_of(_packed(recorded[::3], _PACKINGS))[: 6 if size.quick else None]
    unseen = _packed([piece for number, piece in enumerate(recorded) if number % 3], _HEARD)
    unseen = unseen[: 4 if size.quick else size.items]
    half, exam = len(known) // 2, Recordings(Listener(model, tokenizer, samples_of(unseen)), unseen)
    asked, decisive = known[:half], known[half:]
    return Task(
        name="whisper",
        items="recordings, each as often as it is heard",
        model=model,
        workload=f"audio=30s,text=1,new={NEW_TOKENS}",
        new_tokens=NEW_TOKENS,
        asked=asked,
        decisive=decisive,
        probe=Listener(model, tokenizer, known[: 2 if size.quick else None]),
        held_out=exam,
        first=exam,
        few=("tome",),
    )


def _packed(recorded: Sequence[speech.Speech], times: int) -> list[speech.Speech]:
    """Windows of the recordings, packed so often, each time in another order."""
    return [window for seed in range(times) for window in speech.windows(recorded, shuffled=seed)]


TASKS: dict[str, Callable[[Size], Task]] = {
    "image": lambda size: testbed("image", size),
    "video": lambda size: testbed("video", size),
    "whisper": whisper,
}
