"""The shipped checkpoint: small, loadable, and good at its job through its own ``generate``."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from foveate.common.errors import BadInput
from foveate.testbed import checkpoint_path, load, samples
from foveate.testbed.evaluate import accuracy, answer_all


@pytest.fixture(scope="module")
def loaded() -> tuple[Any, Any]:
    return load("image")


def test_the_weights_are_half_precision_and_at_most_30_megabytes() -> None:
    from safetensors.torch import load_file

    weights = checkpoint_path("image") / "model.safetensors"
    assert weights.stat().st_size <= 30e6
    assert {value.dtype for value in load_file(weights).values()} == {torch.float16}


def test_the_model_is_what_the_card_says(loaded: tuple[Any, Any]) -> None:
    model, processor = loaded
    assert type(model).__name__ == "LlavaForConditionalGeneration"
    assert model.dtype == torch.float32
    assert not model.training
    sample = samples("heldout", 1)[0]
    inputs = processor(images=sample.image, text=sample.prompt, return_tensors="pt")
    assert int((inputs["input_ids"] == model.config.image_token_id).sum()) == 256
    assert inputs["input_ids"].shape[1] - 256 <= 20


def test_it_answers_and_padding_changes_nothing(loaded: tuple[Any, Any]) -> None:
    drawn = samples("heldout", 12)
    together, alone = answer_all(*loaded, drawn, batch_size=12), answer_all(*loaded, drawn[:4], batch_size=1)
    assert together[:4] == alone
    assert sum(answer == sample.answer for answer, sample in zip(together, drawn, strict=True)) >= 8


def test_the_picture_decides(loaded: tuple[Any, Any]) -> None:
    """With the pictures of other scenes the answers must get worse: nothing is read off the question alone."""
    from dataclasses import replace

    drawn = [sample for sample in samples("heldout", 50) if sample.kind in ("what-at", "where", "number")]
    swapped = [replace(sample, image=other.image) for sample, other in zip(drawn, drawn[6:] + drawn[:6], strict=True)]
    right, wrong = (accuracy(answer_all(*loaded, part), drawn).overall.value for part in (drawn, swapped))
    assert right > wrong + 0.4


@pytest.mark.slow
def test_it_is_good_at_what_it_was_trained_for(loaded: tuple[Any, Any]) -> None:
    drawn = samples("heldout", 300)
    scored = accuracy(answer_all(*loaded, drawn), drawn)
    assert scored.overall.low > 0.8, scored.table()


def test_an_unknown_checkpoint_is_named() -> None:
    with pytest.raises(BadInput, match="no checkpoint 'audio'"):
        load("audio")
