"""A clip streamed through a live encoder holds what its whole would keep."""

from __future__ import annotations

import pytest
import torch
from family_cases import BY_NAME
from live_families import batch

import foveate
from foveate.common.errors import BadInput
from foveate.ir.layout import Layout
from foveate.passes import REGISTRY, Tokens


@pytest.mark.parametrize("name", ["qwen2_vl-video", "qwen2_5_vl-video", "llava_onevision-video", "llava_next_video"])
def test_a_streamed_clip_holds_what_the_whole_clip_keeps(name: str) -> None:
    case = BY_NAME[name]
    model = case.build()
    inputs, where = batch(case, rows=1)
    places = len(where[0][1]) // 3
    frames = inputs["pixel_values_videos"]
    stream = foveate.stream(model, 2 * places + 1)
    for number in range(3):
        if "video_grid_thw" in inputs:
            rows = len(frames) // 3
            grid = torch.tensor([[1, *inputs["video_grid_thw"][0, 1:].tolist()]])
            stream.push(pixel_values_videos=frames[rows * number : rows * (number + 1)], video_grid_thw=grid)
        else:
            stream.push(pixel_values_videos=frames[:, number : number + 1])
    given = {k: v for k, v in inputs.items() if k in ("pixel_values_videos", "video_grid_thw")}
    with torch.no_grad():
        found = model.get_video_features(**given).pooler_output
    whole = torch.cat([part.reshape(-1, part.shape[-1]) for part in found])[: 3 * places]
    index = (
        REGISTRY.get("timechat-online")()
        .compress(Tokens(whole[None], Layout(3 * places, (3, 1, places)), {}), Layout(2 * places + 1))
        .index[0]
    )
    assert torch.equal(stream.held.frame * places + stream.held.place, index)
    assert (stream.held.features - whole[index]).abs().max() < 1e-5
    time, row, column = stream.positions.unbind(1)
    width = int(column.max()) + 1
    assert torch.equal((time * places + row * width + column), index)


def test_what_takes_no_clips_is_refused() -> None:
    model = BY_NAME["llava"].build()
    with pytest.raises(BadInput, match="takes no clips"):
        foveate.stream(model, 10)
    clips = BY_NAME["qwen2_vl-video"].build()
    inputs, _ = batch(BY_NAME["qwen2_vl-video"], rows=2)
    given = {k: v for k, v in inputs.items() if k in ("pixel_values_videos", "video_grid_thw")}
    with pytest.raises(BadInput, match="carries 2"):
        foveate.stream(clips, 10).push(**given)
