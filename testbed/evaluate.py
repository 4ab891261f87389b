"""Answer samples with a model's own ``generate`` and say how many answers are right.

``python -m foveate.testbed.evaluate --split heldout --count 1000`` prints accuracy per kind of question with 95 %
intervals; ``--testbed video`` asks the video model. Whatever is applied to the model is what is measured: nothing here
looks inside it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..common.errors import BadInput
from .questions import COUNTING_KINDS, KINDS
from .sampling import Sample, samples
from .video.questions import COUNTING_KINDS as VIDEO_COUNTING_KINDS
from .video.questions import KINDS as VIDEO_KINDS
from .video.sampling import VideoSample
from .video.sampling import samples as video_samples

if TYPE_CHECKING:
    from transformers import LlavaProcessor, PreTrainedModel

    from .video.processor import VideoProcessor

EVERY_KIND = tuple(dict.fromkeys((*KINDS, *VIDEO_KINDS)))
EVERY_COUNTING_KIND = tuple(dict.fromkeys((*COUNTING_KINDS, *VIDEO_COUNTING_KINDS)))


@dataclass(frozen=True)
class Interval:
    """A share of right answers in [0, 1], its 95 % bootstrap interval by scene, and how many questions it is of."""

    value: float
    low: float
    high: float
    questions: int

    def __str__(self) -> str:
        return f"{100 * self.value:5.1f} %  [{100 * self.low:.1f}, {100 * self.high:.1f}]  n={self.questions}"


@dataclass(frozen=True)
class Accuracy:
    """Accuracy overall, without the counting kinds, of the counting kinds alone, and per kind."""

    overall: Interval
    without_counting: Interval
    counting: Interval
    per_kind: dict[str, Interval]
    correct: tuple[bool, ...]

    def table(self) -> str:
        """Return one line for each number."""
        rows = {"overall": self.overall, "without counting": self.without_counting, "counting": self.counting}
        return "\n".join(f"{name:18s} {value}" for name, value in (rows | self.per_kind).items())


def answer_all(
    model: PreTrainedModel,
    processor: LlavaProcessor | VideoProcessor,
    samples: Sequence[Sample | VideoSample],
    *,
    batch_size: int = 16,
    max_new_tokens: int = 5,
) -> list[str]:
    """Return the greedy answer to every sample, in order.

    Only ``model.generate(**processor(...))`` is called, with left padding, so a model under a plan answers through
    the plan. Answers are words joined by single spaces, special tokens dropped.
    """
    import torch

    tokenizer: Any = processor.tokenizer
    live: Any = model
    answers: list[str] = []
    for first in range(0, len(samples), batch_size):
        part = samples[first : first + batch_size]
        inputs = _inputs(processor, part).to(model.device)
        pixels = "pixel_values" if "pixel_values" in inputs else "pixel_values_videos"
        inputs[pixels] = inputs[pixels].to(model.dtype)
        with torch.inference_mode():
            output = live.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False)
        answers += tokenizer.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return [" ".join(answer.split()) for answer in answers]


def _inputs(processor: Any, part: Sequence[Sample | VideoSample]) -> Any:
    """Process pictures or clips with their prompts, padded on the left."""
    media: dict[str, list[Any]] = {}
    for sample in part:
        name, value = ("videos", sample.frames) if isinstance(sample, VideoSample) else ("images", sample.image)
        media.setdefault(name, []).append(value)
    prompts = [sample.prompt for sample in part]
    return processor(text=prompts, return_tensors="pt", padding=True, padding_side="left", **media)


def accuracy(answers: Sequence[str], samples: Sequence[Sample | VideoSample]) -> Accuracy:
    """Compare answers to samples by exact match; intervals resample scenes, whose questions share a picture or clip.

    Raises ``BadInput`` when the lengths differ or there is nothing to compare.
    """
    if len(answers) != len(samples) or not samples:
        raise BadInput(f"got {len(answers)} answers to {len(samples)} samples: give one answer for each of 1 or more")
    correct = np.array([a == sample.answer for a, sample in zip(answers, samples, strict=True)])
    scenes = np.array([sample.scene_seed for sample in samples])
    kinds = np.array([sample.kind for sample in samples])
    counting = np.isin(kinds, EVERY_COUNTING_KIND)
    return Accuracy(
        overall=_interval(correct, scenes),
        without_counting=_interval(correct[~counting], scenes[~counting]),
        counting=_interval(correct[counting], scenes[counting]),
        per_kind={
            kind: _interval(correct[kinds == kind], scenes[kinds == kind]) for kind in EVERY_KIND if kind in kinds
        },
        correct=tuple(bool(value) for value in correct),
    )


def paired_bootstrap(
    correct_a: Sequence[bool],
    correct_b: Sequence[bool],
    scene_ids: Sequence[int],
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Return (difference, low, high): accuracy of a minus b on the same questions, with its 95 % interval by scene.

    >>> paired_bootstrap([True, True], [True, True], [0, 1])
    (0.0, 0.0, 0.0)
    """
    if not len(correct_a) == len(correct_b) == len(scene_ids) > 0:
        raise BadInput("a paired bootstrap needs two equally long, non-empty lists of outcomes and their scenes")
    gains = np.asarray(correct_a, float) - np.asarray(correct_b, float)
    means = _resampled_means(gains, np.asarray(scene_ids), resamples=resamples, seed=seed)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(gains.mean()), float(low), float(high)


def _interval(correct: NDArray[np.bool_], scenes: NDArray[np.int64]) -> Interval:
    if not len(correct):
        return Interval(float("nan"), float("nan"), float("nan"), 0)
    low, high = np.quantile(_resampled_means(correct.astype(float), scenes), (0.025, 0.975))
    return Interval(float(correct.mean()), float(low), float(high), len(correct))


def _resampled_means(
    values: NDArray[np.float64], scenes: NDArray[np.int64], *, resamples: int = 2000, seed: int = 0
) -> NDArray[np.float64]:
    """Draw scenes with replacement and return the mean over their questions, (resamples,)."""
    _, group = np.unique(scenes, return_inverse=True)
    sums, sizes = np.bincount(group, weights=values), np.bincount(group)
    drawn = np.random.default_rng(seed).integers(0, len(sums), (resamples, len(sums)))
    means: NDArray[np.float64] = sums[drawn].sum(1) / sizes[drawn].sum(1)
    return means


def main(arguments: Sequence[str] | None = None) -> None:
    """Print accuracy on one split, per kind of question."""
    from .loading import checkpoint_path, load_folder

    parser = argparse.ArgumentParser(prog="python -m foveate.testbed.evaluate", description=__doc__)
    parser.add_argument("--testbed", choices=("image", "video"), default="image")
    parser.add_argument("--checkpoint", type=Path, help="folder of an exported model (default: the shipped one)")
    parser.add_argument("--split", default="heldout")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch-size", type=int, default=16)
    options = parser.parse_args(arguments)
    folder = options.checkpoint or checkpoint_path(options.testbed)
    model, processor = load_folder(folder)
    draw: Any = video_samples if options.testbed == "video" else samples
    drawn = draw(options.split, options.count, seed=options.seed)
    answers = answer_all(model, processor, drawn, batch_size=options.batch_size)
    print(f"{folder.name}, split {options.split}, {options.count} questions\n{accuracy(answers, drawn).table()}")


if __name__ == "__main__":
    main()
