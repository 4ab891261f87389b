"""Questions: an oracle that reads boxes frame by frame must give the answers that the questions carry."""

from __future__ import annotations

import numpy as np
import pytest

from foveate.common.errors import BadInput
from foveate.testbed.scenes import SPLITS
from foveate.testbed.video import evidence_tokens, samples
from foveate.testbed.video.questions import KINDS, ask
from foveate.testbed.video.scenes import Clip, make_clip
from foveate.testbed.video.vocabulary import WORD_ID, encode

Seen = dict[str, list[tuple[int, int] | None]]


def watch(clip: Clip) -> Seen:
    """The corner of every thing at each of the 16 frames, None where it is not shown."""
    return {
        thing.name: [
            (int(x), int(y)) if shown else None
            for (x, y), shown in zip(thing.track.corners, thing.track.shown, strict=True)
        ]
        for thing in clip.things
    }


def appearances(path: list[tuple[int, int] | None]) -> int:
    before = [None, *path[:-1]]
    return sum(now is not None and then is None for then, now in zip(before, path, strict=True))


def comes(path: list[tuple[int, int] | None]) -> int:
    return next(frame for frame, place in enumerate(path) if place is not None)


def moves(path: list[tuple[int, int] | None]) -> str:
    seen = [place for place in path if place is not None]
    across, down = seen[-1][0] - seen[0][0], seen[-1][1] - seen[0][1]
    if not across and not down:
        return "still"
    assert not across or not down
    return {(-1, 0): "left", (1, 0): "right", (0, -1): "up", (0, 1): "down"}[int(np.sign(across)), int(np.sign(down))]


def only(names: list[str]) -> str:
    """The one name of a list, or "nothing" of an empty one; a question with several answers must not be asked."""
    assert len(names) <= 1
    return names[0] if names else "nothing"


def oracle(seen: Seen, text: str) -> str:
    match text.split():
        case ["is", "there", "a", name]:
            return "yes" if name in seen else "no"
        case ["which", "way", "goes", "the", name]:
            return moves(seen[name])
        case ["what", "goes", motion]:
            return only([name for name, path in seen.items() if moves(path) == motion])
        case ["does", "the", first, "come", "before", "the", second]:
            return "yes" if comes(seen[first]) < comes(seen[second]) else "no"
        case ["what", "comes", "first"]:
            earliest = min(comes(path) for path in seen.values())
            return only([name for name, path in seen.items() if comes(path) == earliest])
        case ["what", "comes", "last"]:
            latest = max(comes(path) for path in seen.values())
            return only([name for name, path in seen.items() if comes(path) == latest])
        case ["what", "is", "at", "the", moment]:
            frame = {"start": 0, "end": -1}[moment]
            return only([name for name, path in seen.items() if path[frame] is not None])
        case ["how", "many", "objects"]:
            return str(len(seen))
        case ["how", "often", "comes", "the", name]:
            return str(appearances(seen[name]))
    raise AssertionError(text)


@pytest.mark.parametrize("split", SPLITS)
def test_answers_agree_with_what_the_frames_show(split: str) -> None:
    kinds = set()
    for seed in range(80):
        clip = make_clip(seed, split=split)
        for question in ask(clip, seed=3):
            assert oracle(watch(clip), question.text) == question.answer, (seed, question)
            kinds.add(question.kind)
    assert kinds == set(KINDS)


def test_no_answer_is_nearly_always_right() -> None:
    questions = [q for seed in range(300) for q in ask(make_clip(seed, split="heldout"), seed=0)]
    for kind in KINDS:
        answers = [question.answer for question in questions if question.kind == kind]
        assert max(answers.count(answer) for answer in set(answers)) / len(answers) < 0.7, kind


def test_evidence_is_boxed_at_the_steps_that_hold_it() -> None:
    for seed in range(80):
        clip = make_clip(seed)
        for question in ask(clip, seed=0):
            assert len(question.boxes) == 8
            held = evidence_tokens(question.boxes)
            absent = question.answer == "nothing" or (question.kind, question.answer) == ("exist", "no")
            assert held.any() != absent
            if question.kind == "motion":
                index = 1 + [thing.name for thing in clip.things].index(question.text.split()[-1])
                mine = (clip.owners == index).reshape(-1)
                assert (held | ~mine).all()
            if question.kind == "at-time" and held.any():
                assert set(held.nonzero()[0] // 49) == {7 if question.text.endswith("end") else 0}


def test_asking_is_decided_by_its_seed() -> None:
    clip = make_clip(5)
    assert ask(clip, seed=1) == ask(clip, seed=1)
    assert ask(clip, seed=1) != ask(clip, seed=2)


def test_samples_are_prefixes_of_each_other_and_seeds_differ() -> None:
    few, many = samples("calibration", 5), samples("calibration", 9)
    assert [s.question for s in few] == [s.question for s in many[:5]]
    assert {s.scene_seed for s in samples("calibration", 5, seed=1)}.isdisjoint(s.scene_seed for s in many)
    with pytest.raises(BadInput, match="cannot draw -1 samples"):
        samples("calibration", -1)


def test_prompts_are_short_and_every_word_is_known() -> None:
    for sample in samples("heldout", 200):
        assert sample.prompt == f"<bos> <video> {sample.question.text}"
        assert len(encode(sample.prompt)) <= 10
        assert sample.answer in WORD_ID
