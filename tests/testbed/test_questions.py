"""Questions: an oracle that reads boxes only must give the answers that the questions carry."""

from __future__ import annotations

import pytest

from foveate.testbed import samples
from foveate.testbed.questions import KINDS, ask
from foveate.testbed.scenes import SPLITS, Box, Scene, make_scene
from foveate.testbed.vocabulary import WORD_ID, encode

ROWS = (("top-left", "top", "top-right"), ("left", "center", "right"), ("bottom-left", "bottom", "bottom-right"))


def ninth(box: Box) -> tuple[int, int]:
    """Row and column of the ninth of the picture that holds the middle of the box."""
    return int((box[1] + box[3]) / 2 * 3 / 224), int((box[0] + box[2]) / 2 * 3 / 224)


def oracle(scene: Scene, text: str) -> str:
    """Answer from boxes, names and the sign, without looking at any region word of the scene."""
    boxes: dict[str, list[Box]] = {}
    for item in scene.objects:
        boxes.setdefault(item.name, []).append(item.box)
    if scene.sign is not None:
        boxes["sign"] = [scene.sign.box]
    words = text.split()
    match words:
        case ["is", "there", "a", name]:
            return "yes" if name in boxes else "no"
        case ["what", "is", "at", region]:
            there = [name for name, found in boxes.items() for box in found if region == word_of(box)]
            return there[0] if there else "nothing"
        case ["where", "is", "the", name]:
            return word_of(boxes[name][0])
        case ["how", "many", name]:
            return str(len(boxes[name]))
        case ["what", "number", *_]:
            return " ".join(scene.sign.number) if scene.sign else "none"
        case ["what", "colour", "is", "the", "sign"] if scene.sign:
            return scene.sign.colour
        case ["what", "colour", "is", "the", name]:
            return next(item.colour for item in scene.objects if item.name == name) or ""
        case ["is", "the", first, relation, "the", second]:
            return relate(ninth(boxes[first][0]), relation, ninth(boxes[second][0]))
    raise AssertionError(text)


def word_of(box: Box) -> str:
    row, column = ninth(box)
    return ROWS[row][column]


def relate(first: tuple[int, int], relation: str, second: tuple[int, int]) -> str:
    true = {
        "left-of": first[1] < second[1],
        "right-of": first[1] > second[1],
        "above": first[0] < second[0],
        "below": first[0] > second[0],
    }[relation]
    return "yes" if true else "no"


@pytest.mark.parametrize("split", SPLITS)
def test_answers_agree_with_the_boxes(split: str) -> None:
    kinds = set()
    for seed in range(60):
        scene = make_scene(seed, split=split)
        for question in ask(scene, seed=3):
            assert oracle(scene, question.text) == question.answer, (seed, question)
            kinds.add(question.kind)
    assert kinds == set(KINDS)


def test_both_answers_occur_and_evidence_is_boxed() -> None:
    questions = [q for seed in range(120) for q in ask(make_scene(seed, split="heldout"), seed=0)]
    for kind in ("exist", "relation"):
        share = sum(q.answer == "yes" for q in questions if q.kind == kind) / sum(q.kind == kind for q in questions)
        assert 0.35 < share < 0.65
    for question in questions:
        absent = question.answer in ("nothing", "none") or (question.kind, question.answer) == ("exist", "no")
        assert bool(question.boxes) != absent


def test_asking_is_decided_by_its_seed() -> None:
    scene = make_scene(5)
    assert ask(scene, seed=1) == ask(scene, seed=1)
    assert ask(scene, seed=1) != ask(scene, seed=2)


def test_samples_are_prefixes_of_each_other_and_seeds_differ() -> None:
    few, many = samples("calibration", 5), samples("calibration", 9)
    assert [s.question for s in few] == [s.question for s in many[:5]]
    assert {s.scene_seed for s in samples("calibration", 5, seed=1)}.isdisjoint(s.scene_seed for s in many)


def test_prompts_are_short_and_every_word_is_known() -> None:
    for sample in samples("heldout", 300):
        assert sample.prompt == f"<bos> <image> {sample.question.text}"
        assert len(encode(sample.prompt)) - 1 <= 20
        assert all(word in WORD_ID for word in sample.answer.split())
