"""Fixed pieces of work whose times say how fast this machine is this minute: in arithmetic, and in reading memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from ..common.errors import BadInput

if TYPE_CHECKING:
    import torch

_SIDE = 512
# 100 MB of matrices do not stay in a cache between two runs. They are as wide as layers of common models: how much
# slower a busy neighbour makes a product of one row depends on how long its dot products are.
_STREAMED, _STREAMED_SIDE = 42, 768


@dataclass(frozen=True)
class Pace:
    """How fast a machine is: ms of `yardstick`, bound by arithmetic, and of `stream_yardstick`, bound by memory."""

    compute_ms: float
    stream_ms: float

    @classmethod
    def measure(cls, device: str = "cpu", *, rounds: int = 9) -> Pace:
        """The pace of `device` now, with torch's present thread count, as medians over `rounds`.

        Raises:
            BadInput: fewer than one round.
        """
        return cls(*(_median_ms(work, device, rounds) for work in (yardstick(device), stream_yardstick(device))))

    def slowdown(self, reference: Pace, part: str) -> float:
        """How much longer `part` of a request takes at this pace than at that of `reference`.

        A prefill is bound by arithmetic; decode steps read every weight once and do little else.

        Example:
            >>> now, then = Pace(4.0, 9.0), Pace(3.2, 4.0)
            >>> now.slowdown(then, "decode"), now.slowdown(then, "ttft")
            (2.25, 1.25)
        """
        if part == "decode":
            return self.stream_ms / reference.stream_ms
        return self.compute_ms / reference.compute_ms

    def between(self, other: Pace) -> Pace:
        """The mean of two paces, for what ran between them."""
        return Pace((self.compute_ms + other.compute_ms) / 2, (self.stream_ms + other.stream_ms) / 2)

    def data(self) -> dict[str, float]:
        """Plain data of a file, to 4 decimals."""
        return {name: round(value, 4) for name, value in asdict(self).items()}


def yardstick(device: str = "cpu") -> Callable[[], object]:
    """The work itself: a float32 matrix product of 512 x 512 by 512 x 512, to be timed beside other things."""
    import torch

    left, right = torch.ones(_SIDE, _SIDE, device=device), torch.ones(_SIDE, _SIDE, device=device)
    return lambda: left @ right


def stream_yardstick(device: str = "cpu") -> Callable[[], object]:
    """One row times 42 matrices of 768 x 768 in float32, 100 MB in all, as a decode step reads weights."""
    row, matrices = _streamed(device)
    return lambda: [row @ matrix for matrix in matrices]


def yardstick_ms(*, device: str = "cpu", rounds: int = 9) -> float:
    """Median ms of the yardstick with torch's present thread count.

    On a shared machine, divide two timings by the yardsticks taken beside them before comparing them.

    Raises:
        BadInput: fewer than one round.
    """
    return _median_ms(yardstick(device), device, rounds)


def _median_ms(work: Callable[[], object], device: str, rounds: int) -> float:
    import torch

    from ..common.timing import interleave, median_interval

    if rounds < 1:
        raise BadInput(f"the yardstick needs at least one round, not {rounds}.")
    wait = torch.cuda.synchronize if torch.device(device).type == "cuda" else None
    samples = interleave({"work": work}, rounds=rounds, warmup=1, synchronize=wait)
    return 1e3 * median_interval(samples["work"], resamples=1).median


@lru_cache(maxsize=1)
def _streamed(device: str) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    """The row and the matrices, made once: filling them takes longer than reading them."""
    import torch

    side = _STREAMED_SIDE
    matrices = tuple(torch.ones(side, side, device=device) for _ in range(_STREAMED))
    return torch.ones(1, side, device=device), tuple(matrix.T for matrix in matrices)
