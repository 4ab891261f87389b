"""Chains of passes that compare the frames of a clip place by place."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .chain import ROW, Chain, at, best_of, means_of

if TYPE_CHECKING:
    from ....ir.layout import Layout
    from ....passes.dycoke_ttm import DyCokeTTM
    from ....passes.framefusion_once import FrameFusionOnce
    from ....passes.timechat_online import TimeChatOnline

_CHANGE = ("frame_change", "frame_change")


def changed(method: TimeChatOnline, layout: Layout, target: Layout) -> Chain:
    """What changed most since the frame before; tokens of the first frame come before all others."""
    import torch

    from ....passes import Tokens
    from ....passes.primitives.frames import frame_shape

    frames, positions = frame_shape(layout)
    made = best_of(_change(frames, positions), target.count, uses=(_CHANGE,), launches=1)
    # What the pass gives the first frame does not depend on what is in it.
    first = method.score(Tokens(torch.zeros(1, layout.count, 1), layout, {}))[0, :positions]
    return replace(made, tables=(("earlier", tuple(range(-1, frames - 1))), ("whole", tuple(first.tolist()))))


def changed_in_windows(method: DyCokeTTM, layout: Layout, target: Layout) -> Chain:
    """In windows of frames, as many of each frame as its quota, by what changed most since an earlier one."""
    import torch

    from ....passes.dycoke_ttm import compared_frames, frame_quotas
    from ....passes.primitives.frames import frame_shape, spread

    frames, positions = frame_shape(layout)
    quotas, compared = frame_quotas(frames, positions, target.count), compared_frames(frames)
    first = [frame for frame in range(frames) if compared[frame] == frame]
    whole = torch.cat([spread(positions, quotas[frame], torch.device("cpu")) for frame in first])
    earlier = [-1 - first.index(frame) if frame in first else compared[frame] for frame in range(frames)]
    score = _change(frames, positions)
    index = f"quota_top_k_{{way}}({score}, quotas, starts, count={target.count}, frames={frames})"
    starts = [sum(quotas[:frame]) for frame in range(frames)]
    tables = {"earlier": earlier, "whole": whole.tolist(), "quotas": quotas, "starts": starts}
    made = at(index, uses=(_CHANGE, ("quota_top_k", "quota_top_k")), launches=2)
    return replace(made, tables=tuple((name, tuple(values)) for name, values in tables.items()))


def joined_over_time(method: FrameFusionOnce, layout: Layout, target: Layout) -> Chain:
    """Chains of tokens that stayed the same, and of the others those that are attended to most."""
    from ....passes.primitives.frames import frame_shape

    frames, positions = frame_shape(layout)
    told = f"count={target.count}, frames={frames}, threshold={method.threshold!r}"
    group = f"merged_runs_{{way}}({_change(frames, positions)}, row, {told})"
    uses = (_CHANGE, ("merged_runs", "merged_runs"))
    made = means_of(group, target.count, uses=uses, launches=2, signals=(ROW,))
    # The first frame is compared with none, and joins none whatever its row of `whole` says.
    return replace(made, tables=(("earlier", tuple(range(-1, frames - 1))), ("whole", (0.0,) * positions)))


def _change(frames: int, positions: int) -> str:
    return f"frame_change_{{way}}(features, earlier, whole, frames={frames}, positions={positions})"
