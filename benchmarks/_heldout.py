"""Held-out questions of a testbed, answered under many plans."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch

from foveate.ir.plan import Plan
from foveate.planner.fidelity.features import Features
from foveate.planner.fidelity.fidelity import applied
from foveate.testbed import samples as image_samples
from foveate.testbed.art import PHOTOGRAPHS
from foveate.testbed.evaluate import accuracy
from foveate.testbed.video.sampling import samples as video_samples

WORKLOADS = {"image": "image=1x224x224,text=8,new=5", "video": "video=16x112x112,text=8,new=5"}
"""What one question of a testbed asks of the model."""

SCENES_AT_ONCE = 6
_ANSWER_TOKENS, _MOST_A_SCENE = 5, 6
_KNOWN = {"calibration": 0, "train": 9000}
"""Splits that plans may be tuned on, with the seed of their scenes; training went nowhere near this one."""


def drawn(testbed: str, split: str, count: int, *, seed: int = 0) -> list[Any]:
    """`count` questions of a split of the image or video testbed."""
    return list((video_samples if testbed == "video" else image_samples)(split, count, seed=seed))


def known(testbed: str, count: int) -> list[Any]:
    """`count` questions that plans may be tuned on, each about a scene of its own, since what is asked about one scene
    is answered right or wrong together.

    Their backgrounds show each photograph of the splits `calibration` and `train` equally often: the two of the one
    split alone say little about others (a pass that keeps what has a large norm does well on a retina and badly on a
    temple). No scene was seen in training, no photograph is in held-out scenes.
    """
    turns = [split for split in _KNOWN for _ in PHOTOGRAPHS[split]]
    order = [turns[number % len(turns)] for number in range(count)]
    scenes = {
        split: _scenes(drawn(testbed, split, _MOST_A_SCENE * order.count(split), seed=_KNOWN[split]))
        for split in _KNOWN
    }
    found = [next(scenes[split]) for split in order]
    return [scene[number // len(turns) % len(scene)] for number, scene in enumerate(found)]


def _scenes(questions: Iterable[Any]) -> Iterator[list[Any]]:
    """The questions about each scene."""
    return (list(group) for _, group in groupby(questions, key=lambda question: question.scene_seed))


@dataclass(frozen=True)
class Prepared:
    """One batch: the model inputs, each distinct picture or clip once, and which of them each question is about."""

    inputs: dict[str, torch.Tensor]
    media: torch.Tensor
    about: torch.Tensor
    name: str


class HeldOut:
    """Questions with known answers, asked in batches of whole scenes; what was encoded once is not encoded again.

    Args:
        model: a live testbed model. processor: its own. questions: samples of its testbed.
    """

    def __init__(self, model: Any, processor: Any, questions: Sequence[Any]) -> None:
        self.model, self.processor, self.questions = model, processor, list(questions)
        self.features = Features(model)
        scenes = list(_scenes(self.questions))
        self.parts = [scenes[i : i + SCENES_AT_ONCE] for i in range(0, len(scenes), SCENES_AT_ONCE)]

    @property
    def whole(self) -> list[float]:
        """Every question counts alike."""
        return [1.0] * len(self.questions)

    @property
    def groups(self) -> list[int]:
        """The scene of each question."""
        return [question.scene_seed for question in self.questions]

    @property
    def crossed(self) -> list[int]:
        """No picture is in two scenes."""
        return []

    def right(self, plan: Plan) -> list[float]:
        """1 for each question that is answered right under `plan`, else 0."""
        return [float(correct) for correct in self.correct(plan)]

    def correct(self, plan: Plan) -> tuple[bool, ...]:
        """Whether each question is answered right under `plan`."""
        return accuracy(self.said(plan), self.questions).correct

    def said(self, plan: Plan) -> list[str]:
        """The answer to each question under `plan`."""
        said: list[str] = []
        with self.features.reused(plan), applied(self.model, plan), torch.inference_mode():
            for number, part in enumerate(self.parts):
                with self.features.of(number):
                    said += self._answers(self._prepared(part))  # thousands of clips would fill the memory
        return said

    def _answers(self, batch: Prepared) -> list[str]:
        inputs = {**batch.inputs, batch.name: batch.media[batch.about].flatten(0, 1)}
        output = self.model.generate(**inputs, max_new_tokens=_ANSWER_TOKENS, do_sample=False)
        words = output[:, inputs["input_ids"].shape[1] :]
        return [
            " ".join(text.split()) for text in self.processor.tokenizer.batch_decode(words, skip_special_tokens=True)
        ]

    def _prepared(self, scenes: Sequence[Sequence[Any]]) -> Prepared:
        questions = [question for scene in scenes for question in scene]
        video = hasattr(questions[0], "frames")
        media = {"videos": [q.frames for q in questions]} if video else {"images": [q.image for q in questions]}
        prompts = [question.prompt for question in questions]
        found = dict(self.processor(text=prompts, return_tensors="pt", padding=True, padding_side="left", **media))
        name = "pixel_values_videos" if video else "pixel_values"
        every = found.pop(name)
        each = every.view(len(questions), every.shape[0] // len(questions), *every.shape[1:])
        sizes = [len(scene) for scene in scenes]
        firsts = torch.tensor([sum(sizes[:i]) for i in range(len(sizes))])
        about = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
        return Prepared(found, each[firsts].clone(), about, name)
