"""`foveate plan` for a model that transcribes: calibrated with sounds, judged by fidelity or by words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from foveate.ir.plan import Plan

from .conftest import Foveate

soundfile = pytest.importorskip("soundfile")
RATE = 16_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny untrained Whisper, its processor, and a calibration file of four noises."""
    from tokenizers import Tokenizer, models
    from transcribers import MELS, WORDS, transcriber
    from transformers import PreTrainedTokenizerFast, WhisperFeatureExtractor, WhisperProcessor

    made = tmp_path_factory.mktemp("transcriber")
    words = Tokenizer(models.WordLevel({f"word{i}": i for i in range(WORDS)}, unk_token="word3"))
    transcriber().save_pretrained(made)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="word0", eos_token="word2")
    WhisperProcessor(WhisperFeatureExtractor(feature_size=MELS), tokenizer).save_pretrained(made)
    random = np.random.default_rng(0)
    for number in range(4):
        soundfile.write(made / f"{number}.wav", random.uniform(-0.5, 0.5, 2 * RATE), RATE)
    lines = [f'{{"audio": "{number}.wav", "answer": "word5 word6"}}\n' for number in range(4)]
    (made / "sounds.jsonl").write_text("".join(lines))
    return made


def test_sounds_calibrate_a_plan_that_is_judged_by_words(foveate: Foveate, folder: Path, tmp_path: Path) -> None:
    output, sounds = tmp_path / "plan.yaml", folder / "sounds.jsonl"
    asked = ("--workload", "audio=30s,text=1,new=4", "--budget", "ttft<=90%", "--device", "generic-cpu")
    searching = ("--calibration", sounds, "--metric", "words", "--trials", 1, "--nearest")
    shown = foveate("plan", folder, *asked, *searching, "-o", output)
    assert shown.code == 0, shown.err
    plan = Plan.from_yaml(output.read_text())
    assert plan.fidelity is not None
    assert (plan.fidelity.kind, plan.fidelity.samples) == ("task", 1)
    assert {item.site.split(".")[0] for item in plan.placements} == {"audio"}


def test_an_unknown_metric_is_refused(foveate: Foveate, folder: Path, tmp_path: Path) -> None:
    asked = ("--budget", "ttft<=90%", "--device", "generic-cpu", "--metric", "word", "-o", tmp_path / "plan.yaml")
    shown = foveate("plan", folder, "--calibration", folder / "sounds.jsonl", *asked)
    assert shown.code == 2
    assert "unknown metric 'word': did you mean 'words'?" in shown.err
