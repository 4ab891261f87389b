"""Sheets of frames and waveforms: pixels checked where tokens are kept and where they are not."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from foveate.common.errors import BadInput
from foveate.runtime.overlay import draw_kept
from foveate.runtime.overlay_frames import by_frame, draw_frames
from foveate.runtime.overlay_sound import draw_sound

RATE = 1000


def test_each_frame_of_a_sheet_is_drawn_like_a_picture() -> None:
    frames = [Image.new("RGB", (20, 10), (40 * number, 90, 200)) for number in range(5)]
    kept = by_frame([0, 7, 8, 30], 5, 8)
    sheet = np.asarray(draw_frames(frames, (2, 4), kept, columns=3, scale=1))
    assert sheet.shape == (2 * 10 + 6, 3 * 20 + 2 * 6, 3)
    for number, (frame, tokens) in enumerate(zip(frames, kept, strict=True)):
        top, left = number // 3 * 16, number % 3 * 26
        expected = np.asarray(draw_kept(frame, (2, 4), tokens, scale=1))
        assert (sheet[top : top + 10, left : left + 20] == expected).all()
    assert kept == [[0, 7], [0], [], [6], []]


def test_kept_stretches_of_a_sound_are_lit() -> None:
    drawn = np.asarray(draw_sound(np.ones(4 * RATE, np.float32), 4.0, 4, [1, 3])).astype(int)
    wave = drawn[10, :, 0] > 200  # the waveform fills the height: yellow where kept, grey elsewhere
    assert wave[310:590].all()
    assert wave[910:].all()
    assert not wave[:290].any()
    assert not wave[610:890].any()


def test_quiet_parts_are_thin_lines() -> None:
    samples = np.concatenate([np.full(RATE, 0.8, np.float32), np.zeros(RATE, np.float32)])
    drawn = np.asarray(draw_sound(samples, 2.0, 2, [0]))
    assert tuple(drawn[20, 100]) == (255, 210, 0)
    assert tuple(drawn[20, 900]) == tuple(drawn[40, 1100])
    assert tuple(drawn[108, 900]) != tuple(drawn[40, 900])


def test_the_axis_has_a_tick_at_every_round_second() -> None:
    drawn = np.asarray(draw_sound(np.ones(RATE, np.float32), 10.0, 5, []))
    ticks = [x for x in range(1200) if tuple(drawn[218, x]) == (200, 200, 200)]
    assert [x for x in range(0, 1200, 120) if x in ticks] == list(range(0, 1200, 120))


@pytest.mark.parametrize(("samples", "tokens", "kept"), [(0, 4, []), (10, 4, [4]), (10, 4, [-1]), (10, 0, [])])
def test_a_sound_that_cannot_be_drawn_is_refused(samples: int, tokens: int, kept: list[int]) -> None:
    with pytest.raises(BadInput):
        draw_sound(np.ones(samples, np.float32), 1.0, tokens, kept)


def test_frames_without_their_tokens_are_refused() -> None:
    with pytest.raises(BadInput, match="one for each"):
        draw_frames([Image.new("RGB", (4, 4))], (1, 1), [])
    with pytest.raises(BadInput, match="one for each"):
        draw_frames([], (1, 1), [])
