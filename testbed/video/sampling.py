"""Question-answering samples of video, ready for the processor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..sampling import draw
from .questions import StepBoxes, VideoQuestion, ask
from .scenes import GRID, TOKEN_SIZE, make_clip

QUESTIONS_PER_CLIP = 6


@dataclass(frozen=True)
class VideoSample:
    """One clip, one question. ``frames`` is (16, 112, 112, 3) uint8; ``prompt`` is the text for the processor.

    ``boxes`` hold the evidence: for each of the 8 time steps (pairs of frames) the boxes (left, top, right, bottom).
    """

    scene_seed: int
    frames: NDArray[np.uint8]
    prompt: str
    answer: str
    kind: str
    boxes: StepBoxes
    question: VideoQuestion
    split: str


def prompt_text(question: str) -> str:
    """Return the prompt that the model was trained on: start token, video, question.

    >>> prompt_text("is there a dog")
    '<bos> <video> is there a dog'
    """
    return f"<bos> <video> {question}"


def samples(split: str, count: int, *, seed: int = 0) -> list[VideoSample]:
    """Return ``count`` questions of ``split``, at most 6 a clip; other seeds give other clips.

    Raises ``BadInput`` for an unknown split, a negative count or a seed outside [0, 10000).

    >>> [sample.kind for sample in samples("calibration", 2)] == [s.kind for s in samples("calibration", 3)[:2]]
    True
    """
    return draw(lambda scene_seed: _of_clip(scene_seed, split), count, seed=seed)


def evidence_tokens(boxes: StepBoxes, *, least: float = 0.2) -> NDArray[np.bool_]:
    """Return which visual tokens hold the evidence, (392,) bool in the order in which the model sees them.

    A token counts when boxes cover at least the share ``least`` of its 16 x 16 pixels during its step.

    >>> evidence_tokens((((0, 0, 16, 16),),) + ((),) * 7).nonzero()[0].tolist()
    [0]
    """
    edges = np.arange(GRID) * TOKEN_SIZE
    held = np.zeros((len(boxes), GRID, GRID), np.bool_)
    for step, found in enumerate(boxes):
        for left, top, right, bottom in found:
            across = np.clip(np.minimum(edges + TOKEN_SIZE, right) - np.maximum(edges, left), 0, None)
            down = np.clip(np.minimum(edges + TOKEN_SIZE, bottom) - np.maximum(edges, top), 0, None)
            held[step] |= down[:, None] * across[None, :] >= least * TOKEN_SIZE**2
    return held.reshape(-1)


def _of_clip(scene_seed: int, split: str) -> list[VideoSample]:
    clip = make_clip(scene_seed, split=split)
    return [
        VideoSample(
            scene_seed=scene_seed,
            frames=clip.frames,
            prompt=prompt_text(question.text),
            answer=question.answer,
            kind=question.kind,
            boxes=question.boxes,
            question=question,
            split=split,
        )
        for question in ask(clip, seed=0)[:QUESTIONS_PER_CLIP]
    ]
