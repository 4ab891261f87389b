"""Segments of a clip: stretches of frames that belong together, and the tokens that stay the same all through one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def cut_segments(cuts: torch.Tensor) -> torch.Tensor:
    """(B, T) int64 number of each frame's segment, from (B, T - 1) bool cuts between neighbouring frames."""
    from torch.nn.functional import pad

    return pad(cuts.long().cumsum(dim=1), (1, 0))


def segment_first(segment: torch.Tensor) -> torch.Tensor:
    """(B, T) int64 first frame of the segment that each frame is in."""
    import torch

    frames = torch.arange(segment.shape[1], device=segment.device).expand_as(segment)
    begins = torch.ones_like(segment, dtype=torch.bool)
    begins[:, 1:] = segment[:, 1:] != segment[:, :-1]
    return frames.masked_fill(~begins, 0).cummax(dim=1).values


def segment_sizes(segment: torch.Tensor) -> torch.Tensor:
    """(B, T) int64 frames in the segment that each frame is in."""
    import torch

    sizes = torch.zeros_like(segment).scatter_add(1, segment, torch.ones_like(segment))
    return sizes.gather(1, segment)


def static_windows(steady: torch.Tensor) -> torch.Tensor:
    """The windows of frames that save most tokens if what is steady all through a window is kept once.

    A window of w frames whose s places are steady in all its w - 1 steps saves s (w - 1) tokens; dynamic programming
    over the frames maximises the sum (HoliTom, arXiv:2505.21334). Of equal sums the one with fewer frames
    in the last window is taken.

    Args:
        steady: (B, T - 1, n) bool, whether a place is much the same in a frame and the one before.

    Returns:
        (B, T) int64 number of each frame's window. O(T^2 n) time, T steps, no host synchronisation.
    """
    import torch

    batch, steps, _ = steady.shape
    frames = steps + 1
    saved = steady.new_zeros(batch, frames, frames, dtype=torch.int64)  # by the window from a first to a last frame
    for first in range(steps):
        lasting = steady[:, first:].long().cumprod(dim=1).sum(dim=-1)
        saved[:, first, first + 1 :] = lasting * torch.arange(1, frames - first, device=steady.device)
    best, start = [torch.zeros_like(saved[:, 0, 0])], []
    for last in range(frames):
        numbers = torch.arange(last + 1, device=steady.device)
        totals = torch.stack(best, dim=1) + saved[:, : last + 1, last]
        # Fewer frames in the last window win among equal totals.
        start.append((totals * (frames + 1) + numbers).argmax(dim=1))
        best.append(totals.amax(dim=1))
    return _window_numbers(torch.stack(start, dim=1))


def _window_numbers(start: torch.Tensor) -> torch.Tensor:
    """Follow the windows' first frames back from the last frame; (B, T) numbers in order of time."""
    import torch

    batch, frames = start.shape
    begins = torch.zeros(batch, frames + 1, dtype=torch.int64, device=start.device)
    end = torch.full((batch, 1), frames - 1, device=start.device)
    for _ in range(frames):
        first = start.gather(1, end.clamp(min=0))
        # Where the walk is over, the extra slot is written.
        begins = begins.scatter(1, first.where(end >= 0, torch.full_like(end, frames)), 1)
        end = (first - 1).where(end >= 0, end)
    return begins[:, :frames].cumsum(dim=1) - 1


def static_places(steady: torch.Tensor, segment: torch.Tensor) -> torch.Tensor:
    """(B, T, n) bool: places that are steady in every step of the frame's segment, which has more than one frame.

    Args:
        steady: (B, T - 1, n) bool. segment: (B, T) int64.
    """
    import torch

    inside = (segment[:, 1:] == segment[:, :-1])[..., None]
    moved = (inside & ~steady).long()
    number = segment[:, 1:, None].expand_as(moved)
    changes = torch.zeros(segment.shape[0], segment.shape[1], steady.shape[2], dtype=torch.int64, device=segment.device)
    changes = changes.scatter_add(1, number, moved)
    still = changes.gather(1, segment[..., None].expand_as(changes)) == 0
    return still & (segment_sizes(segment) > 1)[..., None]


def mean_pair_cosine(unit: torch.Tensor, segment: torch.Tensor) -> torch.Tensor:
    """(B, T, n) float32: at each place, the mean cosine over all pairs of frames of the frame's segment.

    NaN where the segment is one frame. O(N D) time: no pair is formed.

    Args:
        unit: (B, T, n, D) of length 1. segment: (B, T) int64.
    """
    import torch

    number = segment[:, :, None, None].expand_as(unit)
    # Of w unit vectors with sum s the pairs' cosines add up to (|s|^2 - w) / 2.
    squares = torch.zeros_like(unit).scatter_add(1, number, unit).square().sum(dim=-1)
    squares = squares.gather(1, segment[..., None].expand_as(squares))
    sizes = segment_sizes(segment)[..., None]
    return ((squares - sizes) / (sizes * (sizes - 1))).masked_fill(sizes == 1, float("nan"))


def refined_segments(label: torch.Tensor) -> torch.Tensor:
    """Segments of a clip from cluster labels of its frames, as PruneVid makes them (arXiv:2412.16117, the public code).

    Of each cluster only its longest runs stay, if they are longer than one frame. Frames of other runs go, run by run
    from the first to the last, to the neighbouring run that is longer, the earlier one where both are as long.

    Args:
        label: (B, T) int64, from 0 to T - 1.

    Returns:
        (B, T) int64 number of each frame's segment. T steps, no host synchronisation.
    """
    import torch

    length = segment_sizes(cut_segments(label[:, 1:] != label[:, :-1]))
    longest = torch.zeros_like(label).scatter_reduce(1, label, length, "amax", include_self=True).gather(1, label)
    kept = label.masked_fill((length < longest) | (longest == 1), -1)
    after_label, after_length = _run_after(kept)
    found: list[torch.Tensor] = []
    current, run = torch.full_like(label[:, 0], -1), torch.zeros_like(label[:, 0])
    for frame in range(label.shape[1]):
        missing = kept[:, frame] < 0
        begins = missing if frame == 0 else missing & (kept[:, frame - 1] >= 0)
        take_right = (after_length[:, frame] > run) & (after_label[:, frame] >= 0)
        new = after_label[:, frame].where(take_right, current).clamp(min=0)
        chosen = new.where(begins, current).where(missing, kept[:, frame])
        run = (run + 1).where(chosen == current, torch.ones_like(run))
        current = chosen
        found.append(chosen)
    final = torch.stack(found, dim=1)
    return cut_segments(final[:, 1:] != final[:, :-1])


def _run_after(kept: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """For each frame, label and length of the run that begins with the next frame that has a label; -1 and 0: none."""
    import torch

    frames = kept.shape[1]
    length = segment_sizes(cut_segments(kept[:, 1:] != kept[:, :-1]))
    place = torch.arange(frames, device=kept.device).expand_as(kept)
    next_place = place.masked_fill(kept < 0, frames).flip(1).cummin(dim=1).values.flip(1)
    inside = next_place < frames
    next_place = next_place.clamp(max=frames - 1)
    return kept.gather(1, next_place).masked_fill(~inside, -1), length.gather(1, next_place).masked_fill(~inside, 0)
