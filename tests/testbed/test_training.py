"""Training at toy size: the same seed gives the same losses, and a resumed run goes on as if nothing had happened."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from foveate.common.errors import BadInput
from foveate.common.timing import fixed_threads
from foveate.testbed import train as program
from foveate.testbed.decoder_stage import DecoderStage
from foveate.testbed.encoder_stage import EncoderStage
from foveate.testbed.loop import Budget, Run, train
from foveate.testbed.model import TOY, build_model


def encoder_stage(seed: int = 0) -> EncoderStage:
    torch.manual_seed(seed)
    return EncoderStage(build_model(TOY, seed=seed).model.vision_tower, batch_size=2, seed=seed)


def run(path: Path, seed: int = 0, steps: int = 50, **options: Any) -> Run:
    return train(encoder_stage(seed), Budget(steps=steps), rate=2e-3, path=path, workers=0, **options)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Toy matrices gain nothing from threads, and one thread keeps sums in one order."""
    with fixed_threads(1):
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Fifty steps in one go."""
    with fixed_threads(1):
        return run(tmp_path_factory.mktemp("whole") / "run.pt")


def test_the_first_fifty_losses_are_decided_by_the_seed(whole: Run, tmp_path: Path) -> None:
    assert len(whole.losses) == 50
    assert run(tmp_path / "again.pt").losses == whole.losses
    assert sum(whole.losses[-5:]) < sum(whole.losses[:5])
    assert run(tmp_path / "other.pt", seed=1, steps=2).losses[0] != whole.losses[0]


class Stopped(Exception):
    """Stands for a machine that goes away in the middle of a run."""


class Stopping(EncoderStage):
    """An encoder stage that stops in its 21st step."""

    calls = 0

    def forward(self, batch: Any, progress: float) -> Any:
        self.calls += 1
        if self.calls > 20:
            raise Stopped
        return super().forward(batch, progress)


def test_a_resumed_run_continues_the_losses(whole: Run, tmp_path: Path) -> None:
    torch.manual_seed(0)
    stage = Stopping(build_model(TOY, seed=0).model.vision_tower, batch_size=2, seed=0)
    with pytest.raises(Stopped):
        train(stage, Budget(steps=50), rate=2e-3, path=tmp_path / "cut.pt", workers=0, save_every=0)
    resumed = run(tmp_path / "cut.pt", seed=0, resume=True)
    assert resumed.step == whole.step == 50
    assert resumed.losses == whole.losses


@pytest.mark.parametrize("kind", ["align", "subset", "full"])
def test_decoder_stages_learn_and_leave_the_tower_alone(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    stage = DecoderStage(build_model(TOY), kind=kind, batch_size=2)
    stage.measure_features(scenes=4)
    before = {name: value.clone() for name, value in stage.model.model.vision_tower.named_parameters()}
    done = train(stage, Budget(steps=25), rate=2e-2, path=tmp_path / "x.pt", workers=0)
    assert sum(done.losses[-5:]) < sum(done.losses[:5])
    for name, value in stage.model.model.vision_tower.named_parameters():
        assert torch.equal(value, before[name])


def test_the_command_line_runs_every_stage_into_a_loadable_model(tmp_path: Path) -> None:
    from transformers import LlavaForConditionalGeneration, LlavaProcessor

    from foveate.testbed import samples
    from foveate.testbed.evaluate import answer_all

    common = ["--size", "toy", "--steps", "2", "--batch-size", "2", "--workers", "0", "--out", str(tmp_path)]
    program.main(["--stage", "all", *common])
    model = LlavaForConditionalGeneration.from_pretrained(tmp_path / "export", dtype=torch.float32).eval()
    processor = LlavaProcessor.from_pretrained(tmp_path / "export")
    stage = program.load_decoder_stage(tmp_path / "full.pt", size=TOY)
    sample = samples("heldout", 1)[0]
    pixels = processor(images=sample.image, text=sample.prompt, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        states = stage.model.model.vision_tower(pixel_values=pixels).last_hidden_state
        trained = stage.project(states, torch.arange(256)[None])
        exported = model.get_image_features(pixel_values=pixels).pooler_output[0]
    torch.testing.assert_close(exported, trained[0], atol=5e-3, rtol=5e-2)
    assert len(answer_all(model, processor, [sample])) == 1


def test_a_missing_stage_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no trained stage at .*encoder\.pt"):
        program.main(["--stage", "align", "--size", "toy", "--steps", "1", "--out", str(tmp_path)])
