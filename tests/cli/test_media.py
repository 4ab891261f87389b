"""Pictures, clips and sounds on the command line: how they are read, and answers about them with and without a plan."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from transformers import BatchFeature
from transformers.processing_utils import VideosKwargs

from foveate.cli.inputs import Media, processed_media
from foveate.cli.models import Loaded
from foveate.common import media
from foveate.common.errors import BadInput
from foveate.common.media import read_clip, read_sound, resampled, resized, spread

from .conftest import Foveate

WritePlan = Callable[..., Path]
RATE = 16000

av = pytest.importorskip("av")
soundfile = pytest.importorskip("soundfile")


def write_clip(path: Path, shades: list[int], *, size: int = 64, rate: int = 8) -> Path:
    """A clip whose frame k is a plain grey of shade k."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width = stream.height = size
        stream.pix_fmt = "yuv420p"
        frames = (av.VideoFrame.from_ndarray(np.full((size, size, 3), s, np.uint8), format="rgb24") for s in shades)
        for packet in (packet for frame in frames for packet in stream.encode(frame)):
            container.mux(packet)
        container.mux(stream.encode())
    return path


def write_tone(path: Path, *, rate: int = RATE, seconds: float = 1.0, channels: int = 1) -> Path:
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)
    soundfile.write(path, np.stack([tone] * channels, axis=1), rate)
    return path


def test_frames_are_spread_over_the_whole_clip(tmp_path: Path) -> None:
    clip = read_clip(write_clip(tmp_path / "clip.mp4", [6 * k for k in range(41)]), frames=5)
    assert clip.frames.shape == (5, 64, 64, 3)
    shades = clip.frames[:, 20:40, 20:40].mean(axis=(1, 2, 3))
    assert np.abs(shades - [0, 60, 120, 180, 240]).max() < 6
    assert clip.seconds.tolist() == [0.0, 1.25, 2.5, 3.75, 5.0]
    assert clip.duration == pytest.approx(41 / 8, abs=0.01)


def test_a_short_clip_gives_the_frames_that_it_has(tmp_path: Path) -> None:
    assert len(read_clip(write_clip(tmp_path / "clip.mp4", [10, 200]), frames=16).frames) == 2


def test_places_are_spread_evenly() -> None:
    for total, count in ((16, 16), (17, 16), (100, 7), (3, 2)):
        found = spread(total, count)
        assert (found[0], found[-1], len(found)) == (0, total - 1, count)
        assert np.diff(found).max() - np.diff(found).min() <= 1


def test_frames_are_resized_to_squares() -> None:
    frames = np.zeros((2, 40, 60, 3), np.uint8)
    frames[1] = 90
    found = resized(frames, 20)
    assert found.shape == (2, 20, 20, 3)
    assert (found[1] == 90).all()


def test_a_sound_is_mixed_to_one_channel_at_the_rate_asked_for(tmp_path: Path) -> None:
    sound = read_sound(write_tone(tmp_path / "tone.wav", rate=44100, channels=2), rate=RATE)
    assert (sound.rate, len(sound.samples), sound.samples.dtype) == (RATE, RATE, np.float32)
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    assert np.abs(sound.samples - expected)[100:-100].max() < 1e-3
    assert sound.duration == 1.0


def test_what_a_lower_rate_cannot_hold_is_filtered_out() -> None:
    high = np.sin(2 * np.pi * 7000 * np.arange(RATE) / RATE).astype(np.float32)
    assert np.abs(resampled(high, RATE, 8000)[100:-100]).max() < 0.01


@pytest.mark.parametrize("read", [read_clip, read_sound])
def test_what_cannot_be_read_is_named(read: Any, tmp_path: Path) -> None:
    text = tmp_path / "text.bin"
    text.write_text("neither frames nor samples")
    with pytest.raises(BadInput, match=r"text\.bin is not a"):
        read(text)
    with pytest.raises(BadInput, match="there is no"):
        read(tmp_path / "nowhere")


@pytest.mark.parametrize(("read", "library"), [(read_clip, "PyAV"), (read_sound, "soundfile")])
def test_a_missing_library_is_named_with_the_extra(read: Any, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(media, "import_module", missing)
    with pytest.raises(BadInput, match=rf"needs {library}; install it with: pip install 'foveate\[media\]'"):
        read(Path(__file__))


def prompt_tokens(table: str) -> list[int]:
    """The column of numbers in the table that `run` prints."""
    return [int(word) for word in table.split() if word.isdecimal()]


@pytest.fixture
def video_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `testbed-video` stand for a tiny untrained model."""
    from foveate.testbed.video.model import TOY, build_model, build_tokenizer
    from foveate.testbed.video.processor import VideoProcessor

    folder = tmp_path / "checkpoints" / "video"
    build_model(TOY).save_pretrained(folder)
    VideoProcessor(build_tokenizer()).save_pretrained(folder)
    monkeypatch.setattr("foveate.testbed.loading.CHECKPOINTS", folder.parent)


@pytest.mark.usefixtures("video_model")
def test_run_answers_about_a_clip(foveate: Foveate, write_plan: WritePlan, tmp_path: Path) -> None:
    plan = write_plan(site="video.projector.output", keep=0.5)
    clip = write_clip(tmp_path / "clip.mp4", [10 * k for k in range(24)], size=96)
    shown = foveate("run", "testbed-video", "--video", clip, "--prompt", "what goes up", "--plan", plan)
    assert shown.code == 0, shown.err
    # A start token and three words stand beside 392 tokens of the clip, of which 196 stay.
    assert prompt_tokens(shown.out) == [396, 200]


@pytest.mark.usefixtures("video_model")
def test_bench_stands_noise_in_for_a_clip(foveate: Foveate, write_plan: WritePlan) -> None:
    plan = write_plan(site="video.projector.output", keep=0.5)
    workload = ("--workload", "video=4x112x112,text=10,new=2")
    shown = foveate("bench", "testbed-video", "--plan", plan, "--rounds", 3, *workload, "--format", "json")
    plain, ours = json.loads(shown.out)["runs"]
    assert plain["kv_bytes"] * (49 + 10) == ours["kv_bytes"] * (98 + 10)


@pytest.mark.usefixtures("video_model")
def test_a_clip_of_the_wrong_size_is_the_processors_own_refusal(foveate: Foveate, write_plan: WritePlan) -> None:
    plan = write_plan(site="video.projector.output")
    shown = foveate("bench", "testbed-video", "--plan", plan, "--workload", "video=4x64x64,text=10,new=2")
    assert shown.code == 2
    assert "112" in shown.err


@pytest.fixture
def hearing_model(tmp_path: Path) -> Path:
    """A folder with a tiny untrained Qwen2-Audio and its processor."""
    import torch
    from sound_cases import qwen2_audio
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen2AudioProcessor, WhisperFeatureExtractor

    special = ["<pad>", "<bos>", "<eos>", "<unk>", "<unused>", "<|AUDIO|>"]
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate([*special, "what"])}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="<pad>",
        eos_token="<eos>",
        unk_token="<unk>",
        model_specific_special_tokens={"audio_token": "<|AUDIO|>"},
    )
    extractor = WhisperFeatureExtractor(feature_size=8, chunk_length=1, n_fft=400, hop_length=160)
    torch.manual_seed(0)
    model = qwen2_audio(positions=50)
    folder = tmp_path / "hearing"
    model.save_pretrained(folder)
    each = "{{ '<|AUDIO|> ' if part.type == 'audio' else part.text }}"
    template = f"{{% for message in messages %}}{{% for part in message.content %}}{each}{{% endfor %}}{{% endfor %}}"
    Qwen2AudioProcessor(extractor, tokenizer, chat_template=template).save_pretrained(folder)
    return folder


def test_run_answers_about_a_sound(
    foveate: Foveate, write_plan: WritePlan, hearing_model: Path, tmp_path: Path
) -> None:
    plan = write_plan(site="audio.projector.output", keep=0.2)
    tone = write_tone(tmp_path / "tone.wav", rate=44100)
    shown = foveate("run", hearing_model, "--audio", tone, "--prompt", "what", "--plan", plan, "--new-tokens", 2)
    assert shown.code == 0, shown.err
    plain, ours = prompt_tokens(shown.out)
    assert plain - ours == 25 - 5


def test_nothing_to_ask_about_is_refused(foveate: Foveate, checkpoint: Path) -> None:
    shown = foveate("run", checkpoint, "--prompt", "what")
    assert shown.code == 2
    assert "--image, --video or --audio" in shown.sentence


@pytest.mark.parametrize(("option", "kind"), [("--image", "picture"), ("--video", "clip"), ("--audio", "sound")])
def test_a_missing_file_is_refused_before_any_model_is_loaded(
    foveate: Foveate, tmp_path: Path, option: str, kind: str
) -> None:
    shown = foveate("run", tmp_path / "no-model", option, tmp_path / "nope", "--prompt", "what")
    assert shown.code == 2
    assert f"there is no {kind}" in shown.sentence


@pytest.mark.parametrize("samples", [True, False])
def test_a_processor_that_chooses_frames_is_kept_from_it(samples: bool) -> None:
    """Qwen3-VL's would leave out half of eight frames, so that another request would be timed than the one said."""
    given: dict[str, Any] = {}

    class Processor:
        video_processor = SimpleNamespace(valid_kwargs=VideosKwargs if samples else None)

        def __call__(self, **options: Any) -> BatchFeature:
            given.update(options)
            return BatchFeature({})

    model = SimpleNamespace(device="cpu", dtype=None, config=SimpleNamespace(is_encoder_decoder=False))
    loaded = Loaded("some-model", model, Processor())
    processed_media(loaded, Media(clips=[np.zeros((8, 4, 4, 3), np.uint8)]), "what happens")
    assert given.get("videos_kwargs") == ({"do_sample_frames": False} if samples else None)
    given.clear()
    processed_media(loaded, Media(pictures=[Image.new("RGB", (4, 4))]), "what is it")
    assert "videos_kwargs" not in given
