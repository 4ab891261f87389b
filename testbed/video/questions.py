"""Questions about a clip: motion, order and counting over time, with short answers over the closed vocabulary.

Prompts end on the word that decides the answer ("which way goes the dog"), so the answer is predicted at that word.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ..scenes import Box
from .scenes import Clip, Thing
from .tracks import STEPS
from .vocabulary import MOTIONS, THINGS

KINDS: Final = ("exist", "motion", "what-moves", "order", "first-last", "at-time", "count-all", "count-times")
COUNTING_KINDS: Final = ("count-all", "count-times")
CLEARLY_BEFORE: Final = 2

StepBoxes = tuple[tuple[Box, ...], ...]


@dataclass(frozen=True)
class VideoQuestion:
    """One question: its kind, the exact prompt words, the answer words and, for each step, the boxes of evidence."""

    kind: str
    text: str
    answer: str
    boxes: StepBoxes


def ask(clip: Clip, *, seed: int) -> tuple[VideoQuestion, ...]:
    """Ask 7 to 15 questions about ``clip`` in an order drawn from ``seed``; every answer is unique.

    "No" and "nothing" answers to questions about what is not there carry no boxes.

    >>> from .scenes import make_clip
    >>> all(question.kind in KINDS for question in ask(make_clip(7), seed=0))
    True
    """
    rng = random.Random(seed * 1_000_003 + clip.seed)
    questions = [
        *_exist(clip, rng),
        *_motion(clip, rng),
        *_what_moves(clip, rng),
        *_order(clip, rng),
        *_first_last(clip, rng),
        *_at_time(clip, rng),
        *_count(clip, rng),
    ]
    rng.shuffle(questions)
    return tuple(questions)


def first_step(thing: Thing) -> int:
    """Return the step in which a thing comes for the first time."""
    return thing.track.stays[0][0]


def evidence(things: Sequence[Thing], *, steps: Sequence[int] = tuple(range(STEPS))) -> StepBoxes:
    """Return the boxes of ``things`` at each of the clip's steps, none at steps that are not in ``steps``."""
    return tuple(
        tuple(box for thing in things if (box := thing.track.box(step)) is not None) if step in steps else ()
        for step in range(STEPS)
    )


def _exist(clip: Clip, rng: random.Random) -> list[VideoQuestion]:
    names, questions = [thing.name for thing in clip.things], []
    for _ in range(2):
        present = rng.random() < 0.5
        name = rng.choice(names) if present else rng.choice([word for word in THINGS if word not in names])
        found = [thing for thing in clip.things if thing.name == name]
        answer = "yes" if present else "no"
        questions.append(VideoQuestion("exist", f"is there a {name}", answer, evidence(found)))
    return questions


def _motion(clip: Clip, rng: random.Random) -> list[VideoQuestion]:
    asked = rng.sample(clip.things, min(2, len(clip.things)))
    return [
        VideoQuestion("motion", f"which way goes the {thing.name}", thing.track.motion, evidence([thing]))
        for thing in asked
    ]


def _what_moves(clip: Clip, rng: random.Random) -> list[VideoQuestion]:
    by_motion: dict[str, list[Thing]] = {motion: [] for motion in MOTIONS}
    for thing in clip.things:
        by_motion[thing.track.motion].append(thing)
    single = [motion for motion in MOTIONS if len(by_motion[motion]) == 1]
    empty = [motion for motion in MOTIONS if not by_motion[motion]]
    asked = rng.sample(single, min(2, len(single)))
    if empty and rng.random() < 0.25:
        asked.append(rng.choice(empty))
    questions = []
    for motion in asked:
        answer = by_motion[motion][0].name if by_motion[motion] else "nothing"
        questions.append(VideoQuestion("what-moves", f"what goes {motion}", answer, evidence(by_motion[motion])))
    return questions


def _order(clip: Clip, rng: random.Random) -> list[VideoQuestion]:
    pairs = [
        (first, second)
        for first in clip.things
        for second in clip.things
        if abs(first_step(first) - first_step(second)) >= CLEARLY_BEFORE
    ]
    questions = []
    for first, second in rng.sample(pairs, min(2, len(pairs))):
        text = f"does the {first.name} come before the {second.name}"
        answer = "yes" if first_step(first) < first_step(second) else "no"
        questions.append(VideoQuestion("order", text, answer, evidence([first, second])))
    return questions


def _first_last(clip: Clip, rng: random.Random) -> list[VideoQuestion]:
    if len(clip.things) < 2:
        return []
    ordered = sorted(clip.things, key=first_step)
    return [
        VideoQuestion("first-last", "what comes first", ordered[0].name, evidence(ordered[:1])),
        VideoQuestion("first-last", "what comes last", ordered[-1].name, evidence(ordered[-1:])),
    ]


def _at_time(clip: Clip, rng: random.Random) -> list[VideoQuestion]:
    questions = []
    for word, step in (("start", 0), ("end", STEPS - 1)):
        seen = [thing for thing in clip.things if thing.track.box(step) is not None]
        if len(seen) == 1 or (not seen and rng.random() < 0.4):
            answer = seen[0].name if seen else "nothing"
            questions.append(VideoQuestion("at-time", f"what is at the {word}", answer, evidence(seen, steps=(step,))))
    return questions


def _count(clip: Clip, rng: random.Random) -> list[VideoQuestion]:
    every = VideoQuestion("count-all", "how many objects", str(len(clip.things)), evidence(clip.things))
    often = sorted(clip.things, key=lambda thing: len(thing.track.stays), reverse=True)
    asked = often[:1] if rng.random() < 0.5 else often[:2]
    return [
        every,
        *(
            VideoQuestion(
                "count-times", f"how often comes the {thing.name}", str(len(thing.track.stays)), evidence([thing])
            )
            for thing in asked
        ),
    ]
