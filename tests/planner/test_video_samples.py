"""Calibration files with clips: which frames are read, how processors are given them, refused with their line."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers.processing_utils import VideosKwargs
from transformers.video_utils import make_batched_metadata

from foveate.common import media
from foveate.common.errors import BadInput
from foveate.planner.fidelity.samples import from_testbed, read_jsonl
from foveate.testbed import checkpoint_path, video
from foveate.testbed.video.processor import VideoProcessor

av = pytest.importorskip("av")
RATE = 8
Frames = NDArray[np.uint8]


def colours(count: int, *, size: int = 16) -> Frames:
    """Frames (count, size, size, 3), each of one colour that no other has."""
    shades = np.arange(count)
    flat = np.stack([255 - 3 * shades, 80 + shades, 5 * shades], axis=1).astype(np.uint8)
    return np.broadcast_to(flat[:, None, None], (count, size, size, 3))


def write_clip(path: Path, frames: Frames) -> Path:
    """The frames without loss, or, where there are none, the head of a clip that has none."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=RATE)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "bgr0"
        container.start_encoding()
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        if len(frames):
            container.mux(stream.encode())
    return path


def written(folder: Path, *lines: dict[str, Any]) -> Path:
    path = folder / "data.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


class Seeing:
    """A processor that keeps what it is given; it takes no options for its clips."""

    def __init__(self) -> None:
        self.videos: list[Frames] = []

    def __call__(self, *, videos: Frames, text: str, return_tensors: str) -> dict[str, torch.Tensor]:
        self.videos.append(videos)
        return {"input_ids": torch.ones(1, len(text))}


def test_as_many_frames_are_read_as_the_line_says(tmp_path: Path) -> None:
    every, processor = colours(31), Seeing()
    write_clip(tmp_path / "clip.mkv", every)
    line = {"video": "clip.mkv", "prompt": "x"}
    file = written(tmp_path, line, line | {"frames": 4}, line | {"frames": 31}, line | {"frames": 1})
    read_jsonl(file, processor)
    read_jsonl(file, processor, frames=3)
    usual, few, whole, one, *rest = processor.videos
    assert few.dtype == np.uint8
    assert np.array_equal(usual, every[[2 * i for i in range(16)]])
    assert np.array_equal(few, every[[0, 10, 20, 30]])
    assert np.array_equal(whole, every)
    assert np.array_equal(one, every[15:16])
    assert [len(frames) for frames in rest] == [3, 4, 31, 1]


def test_lossless_clips_give_what_their_frames_give(tmp_path: Path) -> None:
    drawn = video.samples("calibration", 3)
    lines = [{"video": f"{i}.mkv", "prompt": s.prompt, "answer": s.answer} for i, s in enumerate(drawn)]
    for i, sample in enumerate(drawn):
        write_clip(tmp_path / f"{i}.mkv", sample.frames)
    processor = VideoProcessor.from_pretrained(checkpoint_path("video"))
    read, expected = read_jsonl(written(tmp_path, *lines), processor), from_testbed(drawn, processor)
    assert [s.answer for s in read] == [s.answer for s in expected]
    for ours, theirs in zip(read, expected, strict=True):
        assert ours.inputs.keys() == theirs.inputs.keys()
        assert all(torch.equal(ours.inputs[name], theirs.inputs[name]) for name in theirs.inputs)


class Sampling(Seeing):
    """A processor that would choose frames itself and writes times into prompts, as Qwen3-VL's does."""

    def __init__(self) -> None:
        super().__init__()
        self.video_processor = SimpleNamespace(valid_kwargs=VideosKwargs)
        self.options: dict[str, Any] = {}

    def __call__(
        self, *, videos: Frames, text: str, return_tensors: str, videos_kwargs: dict[str, Any] | None = None
    ) -> dict[str, torch.Tensor]:
        self.options = videos_kwargs or {}
        return super().__call__(videos=videos, text=text, return_tensors=return_tensors)


def test_no_frame_is_left_out_again_and_all_keep_their_times(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mkv", colours(25))
    processor = Sampling()
    read_jsonl(written(tmp_path, {"video": "clip.mkv", "prompt": "x", "frames": 4}), processor)
    assert processor.options["do_sample_frames"] is False
    # What transformers reads of the frames when it is told about them so.
    (told,) = make_batched_metadata([processor.videos[0]], processor.options["video_metadata"])
    assert told.timestamps == pytest.approx([0.0, 8 / RATE, 16 / RATE, 24 / RATE])
    assert told.sampled_fps == pytest.approx(RATE * 4 / 25)
    assert (told.total_num_frames, told.height, told.width) == (25, 16, 16)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"video": "none.mkv"}, "there is no clip at .*none.mkv"),
        ({"video": "text.mkv"}, "text.mkv is not a clip that can be read"),
        ({"video": "empty.avi"}, "empty.avi holds no frame"),
        ({"video": "\x00"}, "there is no clip"),
        ({"video": "clip.mkv"}, 'clip.mkv has 9 frames, and 16 are asked for; write "frames": 9 or less'),
        ({"video": "clip.mkv", "frames": 10}, "clip.mkv has 9 frames, and 10 are asked for"),
        ({"video": "clip.mkv", "frames": 0}, "frames: Input should be greater than or equal to 1"),
        ({"video": "clip.mkv", "frames": "4"}, "frames: Input should be a valid integer"),
        ({"image": "a.png", "frames": 4}, "frames: it counts the frames of a video, and the line names none"),
        ({"video": ["clip.mkv"]}, "video: Input should be a valid string"),
        ({"video": "clip.mkv", "prompt": None}, "prompt: Field required"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: dict[str, Any], message: str) -> None:
    write_clip(tmp_path / "clip.mkv", colours(9))
    write_clip(tmp_path / "empty.avi", colours(0))
    (tmp_path / "text.mkv").write_text("no clip")
    good = {"video": "clip.mkv", "prompt": "x", "frames": 2}
    with pytest.raises(BadInput, match=f"data.jsonl, line 2: .*{message}"):
        read_jsonl(written(tmp_path, good, {"prompt": "x"} | line), Seeing())


def test_a_clip_that_the_processor_refuses_is_named_by_its_line(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mkv", colours(4, size=64))
    processor = VideoProcessor.from_pretrained(checkpoint_path("video"))
    file = written(tmp_path, {"video": "clip.mkv", "frames": 4, "prompt": "<bos> <video> what goes up"})
    with pytest.raises(BadInput, match=r"line 1: the processor refuses this sample: a clip has shape \(4, 64, 64, 3\)"):
        read_jsonl(file, processor)


def test_a_missing_library_is_named_with_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(media, "import_module", missing)
    file = written(tmp_path, {"video": "clip.mkv", "prompt": "x"})
    with pytest.raises(BadInput, match=r"line 1: reading clips needs PyAV; install it with: pip install 'foveate\[me"):
        read_jsonl(file, Seeing())
