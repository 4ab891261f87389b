"""Streams: bounded memory, and the same tokens as from the whole clip, however it is cut up."""

from __future__ import annotations

import gc

import pytest
import torch

from foveate.common.errors import BadInput
from foveate.ir.layout import Layout
from foveate.passes import REGISTRY, Tokens
from foveate.passes.streaming import StreamingSelector

PLACES, WIDTH = 12, 8


def clip(frames: int, *, seed: int = 0) -> torch.Tensor:
    """(frames, PLACES, WIDTH) that drifts, with jumps."""
    draws = torch.Generator().manual_seed(seed)
    steps = torch.randn(frames, PLACES, WIDTH, generator=draws) * torch.rand(frames, PLACES, 1, generator=draws) ** 3
    return steps.cumsum(dim=0)


def pushed(frames: torch.Tensor, sizes: list[int], capacity: int, threshold: float | None = None) -> StreamingSelector:
    selector = StreamingSelector(capacity, threshold=threshold)
    for part in frames.split(sizes):
        selector.push(part)
    return selector


@pytest.mark.parametrize("capacity", [5, 12, 40, 119])
@pytest.mark.parametrize("sizes", [[1] * 20, [7, 1, 12], [20]])
def test_what_is_held_is_what_the_pass_keeps_of_the_whole(sizes: list[int], capacity: int) -> None:
    frames = clip(20)
    held = pushed(frames, sizes, capacity).held
    layout = Layout(20 * PLACES, (20, 3, 4))
    whole = Tokens(frames.flatten(0, 1)[None], layout, {})
    index = REGISTRY.get("timechat-online")().compress(whole, Layout(capacity)).index[0]
    assert torch.equal(held.frame * PLACES + held.place, index)
    assert torch.equal(held.features, frames.flatten(0, 1)[index])


@pytest.mark.parametrize("sizes", [[1] * 20, [7, 1, 12], [20]])
def test_the_threshold_is_the_published_rule(sizes: list[int]) -> None:
    frames = clip(20, seed=3)
    held = pushed(frames, sizes, 10_000, threshold=0.5).held
    expected = [(0, place) for place in range(PLACES)]
    for time in range(1, 20):
        for place in range(PLACES):
            now, before = frames[time, place].double(), frames[time - 1, place].double()
            if float(now @ before / (now.norm() * before.norm())) <= 0.5:
                expected.append((time, place))
    assert list(zip(held.frame.tolist(), held.place.tolist(), strict=True)) == expected


def test_memory_is_bounded_over_a_thousand_frames() -> None:
    selector, most = StreamingSelector(48), []
    frames = torch.randn(1000, PLACES, WIDTH, generator=torch.Generator().manual_seed(0))
    for number in range(1000):
        selector.push(frames[number : number + 1])
        if number % 100 == 99:
            most.append(tensor_bytes(selector))
    assert len(set(most)) == 1  # not a byte more after 1000 frames than after 100
    held = selector.held
    assert len(held.features) == 48
    assert selector.frames == 1000
    assert most[0] == 48 * (4 * WIDTH + 8 + 8 + 4) + 4 * PLACES * WIDTH
    assert int(held.frame.max()) > 500


def tensor_bytes(selector: StreamingSelector) -> int:
    """Bytes of the storages behind all tensors that a selector reaches, views counted whole."""
    seen, storages, queue = set(), {}, [vars(selector)]
    while queue:
        found = queue.pop()
        if id(found) in seen or isinstance(found, type):
            continue
        seen.add(id(found))
        if isinstance(found, torch.Tensor):
            storages[found.untyped_storage().data_ptr()] = found.untyped_storage().nbytes()
        else:
            queue += [other for other in gc.get_referents(found) if not callable(other)]
    return sum(storages.values())


def test_what_cannot_be_streamed_is_refused() -> None:
    with pytest.raises(BadInput, match="capacity must be at least 1"):
        StreamingSelector(0)
    selector = StreamingSelector(4)
    with pytest.raises(BadInput, match="push a frame first"):
        _ = selector.held
    selector.push(torch.zeros(1, 3, 2))
    with pytest.raises(BadInput, match=r"push \(T, 3, 2\)"):
        selector.push(torch.zeros(1, 4, 2))
