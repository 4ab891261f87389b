"""A fixed piece of work whose time says how fast this machine is this minute."""

from __future__ import annotations

from collections.abc import Callable

from ..common.errors import BadInput

_SIDE = 512


def yardstick(device: str = "cpu") -> Callable[[], object]:
    """The work itself: a float32 matrix product of 512 x 512 by 512 x 512, to be timed beside other things."""
    import torch

    left, right = torch.ones(_SIDE, _SIDE, device=device), torch.ones(_SIDE, _SIDE, device=device)
    return lambda: left @ right


def yardstick_ms(*, device: str = "cpu", rounds: int = 9) -> float:
    """Median ms of the yardstick with torch's present thread count.

    On a shared machine, divide two timings by the yardsticks taken beside them before comparing them.

    Raises:
        BadInput: fewer than one round.
    """
    import torch

    from ..common.timing import interleave, median_interval

    if rounds < 1:
        raise BadInput(f"the yardstick needs at least one round, not {rounds}.")
    wait = torch.cuda.synchronize if torch.device(device).type == "cuda" else None
    samples = interleave({"gemm": yardstick(device)}, rounds=rounds, warmup=3, synchronize=wait)
    return 1e3 * median_interval(samples["gemm"], resamples=1).median
