"""Clips: seeds decide everything, splits share nothing, labels say what the frames show."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from foveate.common.errors import BadInput
from foveate.testbed import art
from foveate.testbed.scenes import SPLITS
from foveate.testbed.video.scenes import GRID, TOKEN_SIZE, Clip, make_clip, make_crowded
from foveate.testbed.video.tracks import STEPS
from foveate.testbed.video.vocabulary import MOTIONS, THINGS, TOKEN_CLASSES, WORDS
from foveate.testbed.vocabulary import WORDS as IMAGE_WORDS


def digest(clip: Clip) -> str:
    return hashlib.sha256(clip.frames.tobytes()).hexdigest()


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("make", [make_clip, make_crowded])
def test_a_seed_decides_the_clip(split: str, make: object) -> None:
    assert callable(make)
    first, second = make(11, split=split), make(11, split=split)
    assert digest(first) == digest(second)
    for name in ("classes", "motions", "owners"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_seeds_and_splits_give_different_clips() -> None:
    digests = {digest(make_clip(seed, split=split)) for split in SPLITS for seed in range(12)}
    assert len(digests) == 12 * len(SPLITS)


def test_a_background_comes_from_the_photographs_of_its_split_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: set[str] = set()
    original = art.photographs
    monkeypatch.setattr(art, "photographs", lambda split: asked.add(split) or original(split))
    for seed in range(20):
        make_clip(seed, split="heldout")
    assert asked == {"heldout"}


def test_the_background_stands_still_and_things_change_it() -> None:
    """Frames may differ only inside the boxes of things, and each thing that is shown must be seen there."""
    for seed in range(60):
        clip = make_clip(seed)
        covered = np.zeros(clip.frames.shape[:3], np.bool_)
        for thing in clip.things:
            for step in range(STEPS):
                if (box := thing.track.box(step)) is not None:
                    covered[2 * step : 2 * step + 2, box[1] : box[3], box[0] : box[2]] = True
        background = np.where(covered[..., None], 0, clip.frames).max(0)
        never = covered.all(0)
        changed = (clip.frames != background).any(-1) & ~never
        assert not (changed & ~covered).any()
        assert {thing.name for thing in clip.things} <= set(THINGS)
        assert len({thing.name for thing in clip.things}) == len(clip.things)


def test_no_thing_hides_another_and_no_two_come_together() -> None:
    for seed in range(150):
        clip = make_clip(seed, split="calibration")
        shown = np.zeros(clip.frames.shape[:3], np.int64)
        for thing in clip.things:
            for frame in thing.track.shown.nonzero()[0]:
                left, top = thing.track.corners[frame]
                assert 0 <= left <= 112 - thing.track.size
                assert 0 <= top <= 112 - thing.track.size
                shown[frame, top : top + thing.track.size, left : left + thing.track.size] += 1
        assert shown.max() <= 1
        starts = [int(thing.track.shown.argmax()) // 2 for thing in clip.things]
        assert len(set(starts)) == len(starts)


def test_labels_name_what_covers_a_token() -> None:
    for seed in range(40):
        clip = make_clip(seed)
        for index, thing in enumerate(clip.things, start=1):
            mine = clip.owners == index
            assert {TOKEN_CLASSES[value] for value in clip.classes[mine]} == {thing.name}
            assert {MOTIONS[value - 1] for value in clip.motions[mine]} == {thing.track.motion}
            for step in range(STEPS):
                assert mine[step].any() == (thing.track.box(step) is not None)
        assert not clip.classes[clip.owners == 0].any()
        most = np.zeros((STEPS, GRID, GRID))
        for thing in clip.things:
            share = np.zeros((STEPS, GRID, GRID))
            for frame in thing.track.shown.nonzero()[0]:
                left, top = thing.track.corners[frame]
                pixels = np.zeros((112, 112))
                pixels[top : top + thing.track.size, left : left + thing.track.size] = 0.5
                share[frame // 2] += pixels.reshape(GRID, TOKEN_SIZE, GRID, TOKEN_SIZE).mean((1, 3))
            most = np.maximum(most, share)
        assert (most[clip.classes > 0] > 0.3).all()
        assert (most[clip.classes == 0] < 0.6).all()


def test_a_moving_thing_visibly_moves_within_each_pair_of_frames() -> None:
    for seed in range(60):
        for thing in (*make_clip(seed).things, *make_crowded(seed).things):
            for step in range(len(thing.track.shown) // 2):
                if thing.track.shown[2 * step]:
                    shift = thing.track.corners[2 * step + 1] - thing.track.corners[2 * step]
                    seen = {(0, 0): "still", (-1, 0): "left", (1, 0): "right", (0, -1): "up", (0, 1): "down"}
                    assert seen[int(np.sign(shift[0])), int(np.sign(shift[1]))] == thing.track.motion
                    assert thing.track.motion == "still" or 2 <= np.abs(shift).max() <= 7


def test_the_image_testbed_knows_the_words_for_things_and_its_list_is_its_own() -> None:
    assert set(THINGS) <= set(IMAGE_WORDS)
    assert len(set(WORDS)) == len(WORDS)


def test_what_cannot_be_composed_is_refused() -> None:
    with pytest.raises(BadInput, match="unknown split 'test'"):
        make_clip(0, split="test")
    with pytest.raises(BadInput, match="clip seed -1"):
        make_crowded(-1)
