"""Scenes: seeds decide everything, splits share nothing, labels say what the boxes say."""

from __future__ import annotations

import hashlib
from itertools import combinations

import numpy as np
import pytest

from foveate.common.errors import BadInput
from foveate.testbed import art
from foveate.testbed.scenes import GRID, PATCH_SIZE, SPLITS, Scene, make_scene, region_at
from foveate.testbed.vocabulary import PATCH_CLASSES


def digest(scene: Scene) -> str:
    return hashlib.sha256(scene.image.tobytes()).hexdigest()


@pytest.mark.parametrize("split", SPLITS)
def test_a_seed_decides_the_scene(split: str) -> None:
    first, second = make_scene(11, split=split), make_scene(11, split=split)
    assert digest(first) == digest(second)
    assert (first.objects, first.sign) == (second.objects, second.sign)
    for name in ("patch_labels", "patch_colours", "centres"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_seeds_and_splits_give_different_pictures() -> None:
    digests = {digest(make_scene(seed, split=split)) for split in SPLITS for seed in range(12)}
    assert len(digests) == 12 * len(SPLITS)


def test_splits_share_no_photograph_and_held_out_art_is_held_out() -> None:
    for first, second in combinations(SPLITS, 2):
        assert not set(art.PHOTOGRAPHS[first]) & set(art.PHOTOGRAPHS[second])
    trained = {art.atlas_name("train")}, set(art.font_names("train"))
    assert art.atlas_name("heldout-art") not in trained[0]
    assert not set(art.font_names("heldout-art")) & trained[1]


def test_no_two_photographs_are_the_same_picture() -> None:
    pictures = [picture.resize((16, 16)).tobytes() for split in SPLITS for picture in art.photographs(split)]
    assert len(set(pictures)) == len(pictures) == sum(map(len, art.PHOTOGRAPHS.values()))


def test_labels_follow_the_boxes() -> None:
    for seed in range(60):
        scene = make_scene(seed)
        shown = {item.name for item in scene.objects} | {"background", "sign"}
        shown |= set(scene.sign.number) if scene.sign else set()
        assert {PATCH_CLASSES[index] for index in np.unique(scene.patch_labels)} <= shown
        for item in scene.objects:
            x, y = (item.box[0] + item.box[2]) // 2, (item.box[1] + item.box[3]) // 2
            assert region_at(x, y) == item.region
            assert scene.centres[y // PATCH_SIZE, x // PATCH_SIZE]
            if scene.sign is None:
                assert PATCH_CLASSES[scene.patch_labels[y // PATCH_SIZE, x // PATCH_SIZE]] == item.name


def test_background_patches_touch_no_box_by_much() -> None:
    for seed in range(40):
        scene = make_scene(seed, split="heldout")
        cover = np.zeros((224, 224), bool)
        boxes = [item.box for item in scene.objects] + ([scene.sign.box] if scene.sign else [])
        for left, top, right, bottom in boxes:
            cover[top:bottom, left:right] = True
        share = cover.reshape(GRID, PATCH_SIZE, GRID, PATCH_SIZE).mean((1, 3))
        assert (share[scene.patch_labels == 0] < 0.75).all()
        assert (share[scene.patch_labels > 0] > 0.2).all()


def test_what_cannot_be_composed_is_refused() -> None:
    with pytest.raises(BadInput, match="unknown split 'test'"):
        make_scene(0, split="test")
    with pytest.raises(BadInput, match="scene seed -1"):
        make_scene(-1)
