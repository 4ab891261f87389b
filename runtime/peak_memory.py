"""Peak memory of one run: CUDA's own count, and on a CPU what torch's allocator gave out."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch
from torch import nn


def peak_bytes(model: nn.Module, run: Callable[[], Any]) -> int:
    """Most bytes that tensors held during `run`, the model's weights included.

    On a CUDA device this is `torch.cuda.max_memory_allocated`. On a CPU it is the weights and the peak of what torch's
    allocator gave out during the run and had not taken back: resident memory would also count what earlier runs left in
    the allocator. Weights that accelerate keeps on disk are not counted.
    """
    device = next(parameter.device for parameter in model.parameters() if not parameter.is_meta)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        run()
        torch.cuda.synchronize(device)
        return int(torch.cuda.max_memory_allocated(device))
    return held_bytes(model) + _peak_of_allocations(run)


def held_bytes(model: nn.Module) -> int:
    """Bytes of a model's weights and buffers that are in memory; shared ones count once."""
    storages = [t.untyped_storage() for t in (*model.parameters(), *model.buffers()) if not t.is_meta]
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def _peak_of_allocations(run: Callable[[], Any]) -> int:
    os.environ.setdefault("KINETO_LOG_LEVEL", "9")  # else the profiler announces itself on standard error
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        run()
    events = profile.profiler.kineto_results.events()
    changes = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    held = peak = 0
    for _, change in changes:
        held += change
        peak = max(peak, held)
    return peak
