"""Questions about a scene with short answers over the closed vocabulary.

Prompts end on the word that decides the answer ("is there a dog"), so the answer is predicted at that word.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from .scenes import Box, Scene, SceneObject
from .vocabulary import OBJECTS, REGIONS

KINDS: Final = ("exist", "what-at", "where", "count-x", "colour", "relation", "number")
COUNTING_KINDS: Final = ("count-x",)


@dataclass(frozen=True)
class Question:
    """One question: its kind, the exact prompt words, the answer words and the boxes that hold the evidence."""

    kind: str
    text: str
    answer: str
    boxes: tuple[Box, ...]


def ask(scene: Scene, *, seed: int) -> tuple[Question, ...]:
    """Ask 6 to 18 questions about ``scene`` in an order drawn from ``seed``.

    Whatever is asked about by name alone (where, colour, relation) occurs once in the scene, so every answer is
    unique. "No" and "nothing" answers carry no boxes.

    >>> from .scenes import make_scene
    >>> questions = ask(make_scene(7), seed=0)
    >>> all(question.kind in KINDS for question in questions)
    True
    """
    rng = random.Random(seed * 1_000_003 + scene.seed)
    counts = Counter(item.name for item in scene.objects)
    single = [item for item in scene.objects if counts[item.name] == 1]
    questions = [
        *_exist(scene, rng),
        *_what_at(scene, rng),
        *(_where(item) for item in _some(rng, single, 3)),
        *_count(scene, counts, rng),
        *(_colour(item) for item in single if item.colour is not None),
        *_relation(single, rng),
        *_sign(scene, rng),
    ]
    rng.shuffle(questions)
    return tuple(questions)


def _some(rng: random.Random, items: Iterable[SceneObject], most: int) -> list[SceneObject]:
    pool = list(items)
    return rng.sample(pool, min(most, len(pool)))


def _boxes(items: Iterable[SceneObject]) -> tuple[Box, ...]:
    return tuple(item.box for item in items)


def _exist(scene: Scene, rng: random.Random) -> list[Question]:
    names = {item.name for item in scene.objects}
    questions = []
    for _ in range(3):
        present = rng.random() < 0.5
        name = rng.choice(sorted(names)) if present else rng.choice([word for word in OBJECTS if word not in names])
        found = _boxes(item for item in scene.objects if item.name == name)
        questions.append(Question("exist", f"is there a {name}", "yes" if present else "no", found))
    return questions


def _what_at(scene: Scene, rng: random.Random) -> list[Question]:
    questions = [
        Question("what-at", f"what is at {item.region}", item.name, (item.box,))
        for item in _some(rng, scene.objects, 3)
    ]
    taken = {item.region for item in scene.objects} | ({scene.sign.region} if scene.sign else set())
    free = [region for region in REGIONS if region not in taken]
    if free and rng.random() < 0.3:
        questions.append(Question("what-at", f"what is at {rng.choice(free)}", "nothing", ()))
    return questions


def _where(item: SceneObject) -> Question:
    return Question("where", f"where is the {item.name}", item.region, (item.box,))


def _colour(item: SceneObject) -> Question:
    return Question("colour", f"what colour is the {item.name}", item.colour or "", (item.box,))


def _count(scene: Scene, counts: Counter[str], rng: random.Random) -> list[Question]:
    repeated = sorted(name for name, count in counts.items() if count > 1)
    name = rng.choice(repeated) if repeated else rng.choice(sorted(counts))
    same = [item for item in scene.objects if item.name == name]
    return [Question("count-x", f"how many {name}", str(len(same)), _boxes(same))]


def _relation(single: list[SceneObject], rng: random.Random) -> list[Question]:
    questions = []
    for _ in range(3 if len(single) > 1 else 0):
        first, second = rng.sample(single, 2)
        ours, theirs = divmod(REGIONS.index(first.region), 3), divmod(REGIONS.index(second.region), 3)
        claims = []
        if ours[1] != theirs[1]:
            claims += [("left-of", ours[1] < theirs[1]), ("right-of", ours[1] > theirs[1])]
        if ours[0] != theirs[0]:
            claims += [("above", ours[0] < theirs[0]), ("below", ours[0] > theirs[0])]
        word, true = rng.choice(claims)
        text = f"is the {first.name} {word} the {second.name}"
        questions.append(Question("relation", text, "yes" if true else "no", _boxes((first, second))))
    return questions


def _sign(scene: Scene, rng: random.Random) -> list[Question]:
    if scene.sign is None:
        return [Question("number", "what number is printed", "none", ())] if rng.random() < 0.2 else []
    boxes = (scene.sign.box,)
    questions = [Question("number", "what number is printed", " ".join(scene.sign.number), boxes)]
    if rng.random() < 0.5:
        questions.append(Question("colour", "what colour is the sign", scene.sign.colour, boxes))
    if rng.random() < 0.3:
        questions.append(Question("where", "where is the sign", scene.sign.region, boxes))
    return questions
