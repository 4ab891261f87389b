"""Training at toy size: the same seed gives the same losses, and every stage ends in a model that loads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from foveate.common.errors import BadInput
from foveate.common.timing import fixed_threads
from foveate.testbed.evaluate import accuracy, answer_all
from foveate.testbed.loading import load_folder
from foveate.testbed.loop import Budget, Run, train
from foveate.testbed.video import samples
from foveate.testbed.video import train as program
from foveate.testbed.video.model import TOY, build_model
from foveate.testbed.video.stages import DecoderStage, EncoderStage


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Toy matrices gain nothing from threads, and one thread keeps sums in one order."""
    with fixed_threads(1):
        yield


def run(path: Path, seed: int = 0, steps: int = 50) -> Run:
    torch.manual_seed(seed)
    stage = EncoderStage(build_model(TOY, seed=seed), batch_size=2, seed=seed)
    return train(stage, Budget(steps=steps), rate=2e-3, path=path, workers=0)


def test_the_first_fifty_losses_are_decided_by_the_seed(tmp_path: Path) -> None:
    first = run(tmp_path / "first.pt")
    assert len(first.losses) == 50
    assert run(tmp_path / "again.pt").losses == first.losses
    assert sum(first.losses[-5:]) < sum(first.losses[:5])
    assert run(tmp_path / "other.pt", seed=1, steps=2).losses[0] != first.losses[0]


@pytest.mark.parametrize("kind", ["align", "subset", "full"])
def test_decoder_stages_learn_and_leave_the_vision_blocks_alone(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    stage = DecoderStage(build_model(TOY), kind=kind, batch_size=2)
    blocks = stage.model.model.visual.blocks
    before = {name: value.clone() for name, value in blocks.named_parameters()}
    done = train(stage, Budget(steps=20), rate=2e-2, path=tmp_path / "x.pt", workers=0)
    assert sum(done.losses[-5:]) < sum(done.losses[:5])
    for name, value in blocks.named_parameters():
        assert torch.equal(value, before[name])


def test_the_command_line_runs_every_stage_into_a_loadable_model(tmp_path: Path) -> None:
    common = ["--size", "toy", "--steps", "2", "--batch-size", "2", "--workers", "0", "--out", str(tmp_path)]
    program.main(["--stage", "all", *common])
    model, processor = load_folder(tmp_path / "export")
    assert type(model).__name__ == "Qwen2VLForConditionalGeneration"
    trained = program.load_decoder_stage(tmp_path / "full.pt", size=TOY).model.eval()
    drawn = samples("heldout", 2)
    inputs = processor([sample.frames for sample in drawn], [sample.prompt for sample in drawn])
    with torch.no_grad():
        theirs, ours = model(**inputs).logits[:, -1], trained(**inputs).logits[:, -1]
    torch.testing.assert_close(theirs, ours, atol=2e-2, rtol=2e-2)
    answers = answer_all(model, processor, drawn)
    assert accuracy(answers, drawn).overall.questions == 2


def test_a_missing_stage_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no trained stage at .*encoder\.pt"):
        program.main(["--stage", "align", "--size", "toy", "--steps", "1", "--out", str(tmp_path)])
