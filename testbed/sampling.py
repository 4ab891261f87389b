"""Question-answering samples of a split, ready for the processor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, islice
from itertools import count as naturals
from typing import Final, TypeVar

from PIL import Image

from ..common.errors import BadInput
from .questions import Question, ask
from .scenes import SEEDS_PER_SPLIT, Box, make_scene

QUESTIONS_PER_SCENE: Final = 6
SCENES_PER_SEED: Final = 100_000

Drawn = TypeVar("Drawn")


@dataclass(frozen=True)
class Sample:
    """One picture, one question. ``prompt`` is the complete text for the processor; ``boxes`` hold the evidence."""

    scene_seed: int
    image: Image.Image
    prompt: str
    answer: str
    kind: str
    boxes: tuple[Box, ...]
    question: Question
    split: str


def prompt_text(question: str) -> str:
    """Return the prompt that the model was trained on: start token, image, question.

    >>> prompt_text("is there a dog")
    '<bos> <image> is there a dog'
    """
    return f"<bos> <image> {question}"


def samples(split: str, count: int, *, seed: int = 0) -> list[Sample]:
    """Return ``count`` questions of ``split``, at most 6 a scene; other seeds give other scenes.

    Raises ``BadInput`` for an unknown split, a negative count or a seed outside [0, 10000).

    >>> [sample.kind for sample in samples("calibration", 2)] == [s.kind for s in samples("calibration", 3)[:2]]
    True
    """
    return draw(lambda scene_seed: _of_scene(scene_seed, split), count, seed=seed)


def draw(of_scene: Callable[[int], list[Drawn]], count: int, *, seed: int) -> list[Drawn]:
    """Return the first ``count`` samples of the scenes of ``seed``, in order.

    Raises ``BadInput`` for a negative count or a seed outside [0, 10000).
    """
    if count < 0 or not 0 <= seed < SEEDS_PER_SPLIT // SCENES_PER_SEED:
        raise BadInput(f"cannot draw {count} samples with seed {seed}: give a count >= 0 and a seed in [0, 10000)")
    scenes = (of_scene(scene_seed) for scene_seed in naturals(seed * SCENES_PER_SEED))
    return list(islice(chain.from_iterable(scenes), count))


def _of_scene(scene_seed: int, split: str) -> list[Sample]:
    scene = make_scene(scene_seed, split=split)
    return [
        Sample(
            scene_seed=scene_seed,
            image=scene.image,
            prompt=prompt_text(question.text),
            answer=question.answer,
            kind=question.kind,
            boxes=question.boxes,
            question=question,
            split=split,
        )
        for question in ask(scene, seed=0)[:QUESTIONS_PER_SCENE]
    ]
