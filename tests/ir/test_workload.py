"""Workloads in their short text form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foveate.common.errors import BadInput
from foveate.ir.workload import Images, Video, Workload

size = st.integers(1, 9999)
workloads = st.builds(
    Workload,
    images=st.lists(st.builds(Images, size, size, size), max_size=3).map(tuple),
    videos=st.lists(st.builds(Video, size, size, size), max_size=2).map(tuple),
    audio_seconds=st.lists(st.floats(1e-3, 1e9), max_size=2).map(tuple),
    text_tokens=st.integers(0, 10**6),
    new_tokens=st.integers(0, 10**6),
    batch=size,
    turns=size,
    concurrency=size,
)


@given(workloads)
def test_round_trip(workload: Workload) -> None:
    assert Workload.parse(str(workload)) == workload


def test_every_key() -> None:
    media = "image=2x672x448, image=1x336x336, video=64x448x449, audio=30s, audio=1.5s"
    workload = Workload.parse(f"{media}, text=64, new=128, batch=3, turns=2, concurrency=5")
    assert workload.images == (Images(2, 672, 448), Images(1, 336, 336))
    assert workload.videos == (Video(64, 448, 449),)
    assert workload.audio_seconds == (30.0, 1.5)
    assert (workload.text_tokens, workload.new_tokens) == (64, 128)
    assert (workload.batch, workload.turns, workload.concurrency) == (3, 2, 5)
    assert workload.modalities == ("image", "video", "audio")


def test_nothing_said_is_the_default() -> None:
    assert Workload.parse("") == Workload()
    assert Workload().modalities == ()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("image", "workload part 'image' has no value; write key=value, as in image=1x336x336"),
        ("image=336x336", "workload image='336x336' is no size; write count x height x width, as in image=1x336x336"),
        ("image=0x336x336", "workload image='0x336x336' is no size; write count x height x width"),
        ("image=-1x336x336", "workload image='-1x336x336' is no size"),
        ("image=1x336x336x3", "is no size"),
        ("video=64x448", "workload video='64x448' is no size; write frames x height x width, as in video=1x336x336"),
        ("audio=30", "workload audio='30' is no duration; write seconds, as in audio=30s"),
        ("audio=-3s", "workload audio='-3s' is no duration"),
        ("audio=0s", "workload: audio lasts 0 s; it must be longer than zero"),
        ("txt=3", "unknown workload key 'txt': did you mean 'text'?"),
        ("zebra=3", "unknown workload key 'zebra': choose one of audio, batch, concurrency"),
        ("text=3.5", "workload text='3.5' is no whole number; write it as in text=1"),
        ("text=-1", "workload text='-1' is no whole number"),
        ("text=²", "workload text='²' is no whole number"),
        ("text=", "workload text='' is no whole number"),
        ("batch=0", "workload: batch is 0; it must be positive"),
        ("turns=0", "workload: turns is 0; it must be positive"),
        ("concurrency=0", "workload: concurrency is 0; it must be positive"),
    ],
)
def test_bad_input_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(BadInput) as refused:
        Workload.parse(f"new=1,{text}")
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def test_negative_counts_are_refused_however_they_are_given() -> None:
    with pytest.raises(BadInput, match="text_tokens is -1"):
        Workload(text_tokens=-1)
