"""Greedy selectors on one CPU thread against straightforward loops over the full matrix, with equal choices.

The loops are what is written first: max-min looks up the distances of all chosen tokens in every step, the DPP takes
every chosen token out of the whole kernel, and pivots sort rows of the N x N cosines. Max-min and DPP are timed from
the matrix on, which both ways need; from the features on, the product that makes the matrix is in both. Pivots are
timed from the features on, because not making the matrix is the point.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from _table import Goal, arguments, finish, show
from torch.nn.functional import normalize

from foveate.common.timing import fixed_threads, interleave, ratio_interval
from foveate.kernels.dpp import dpp_greedy
from foveate.kernels.max_min import cosine_distances, farthest_first, max_min
from foveate.kernels.pivot import least_similar

SIZES = ((576, 64), (2880, 320))
WIDTH, PIVOTS = 1024, 8
LIMIT = 3.0


@dataclass(frozen=True)
class Contest:
    """One selector at one size: our way and the loop, both giving the chosen indices."""

    name: str
    ours: Callable[[], torch.Tensor]
    loop: Callable[[], torch.Tensor]
    limit: float | None = LIMIT


def max_min_loop(distance: torch.Tensor, start: int, count: int) -> torch.Tensor:
    """In every step, the nearest chosen token of all tokens anew."""
    chosen = [start]
    for _ in range(count - 1):
        chosen.append(int(distance[chosen].amin(dim=0).argmax()))
    return torch.tensor([chosen])


def max_min_from_features(features: torch.Tensor, count: int) -> torch.Tensor:
    """The distances, the start by each token's two smallest, then the loop."""
    distance = cosine_distances(features)[0]
    start = int(distance.topk(2, dim=0, largest=False).values[1].argmax())
    distance.fill_diagonal_(float("-inf"))
    return max_min_loop(distance, start, count)


def dpp_loop(kernel: torch.Tensor, count: int) -> torch.Tensor:
    """Condition the whole kernel on every token that is chosen."""
    left, chosen = kernel.clone(), []
    for _ in range(count):
        best = int(left.diagonal().argmax())
        chosen.append(best)
        column = left[:, best].clone()
        left -= torch.outer(column, column) / column[best]
        left.diagonal()[best] = float("-inf")
        left[best, :best] = left[best, best + 1 :] = 0
        left[:best, best] = left[best + 1 :, best] = 0
    return torch.tensor([chosen])


def dpp_factor_loop(kernel: torch.Tensor, count: int) -> torch.Tensor:
    """The published fast form (arXiv:1709.05135, algorithm 1), as tensor operations."""
    left, factor, chosen = kernel.diagonal().clone(), torch.zeros(count, len(kernel)), []
    for step in range(count):
        best = left.argmax()
        row = (kernel[best] - factor[:step, best] @ factor[:step]) / left[best].sqrt()
        factor[step] = row
        left -= row.square()
        left[best] = float("-inf")
        chosen.append(best)
    return torch.stack(chosen)[None]


def pivot_loop(features: torch.Tensor, pivots: list[int], count: int) -> torch.Tensor:
    """All cosines, then for each pivot its row in order, leaving out what is taken."""
    unit = normalize(features[0], dim=-1)
    cosines, taken, found = unit @ unit.mT, set(pivots), []
    for turn, pivot in enumerate(pivots):
        share = count // len(pivots) + (turn < count % len(pivots))
        rest = [token for token in cosines[pivot].argsort(stable=True).tolist() if token not in taken]
        found += rest[:share]
        taken.update(rest[:share])
    return torch.tensor([sorted(found)])


def contests(tokens: int, count: int) -> Iterator[Contest]:
    """Every selector on normal features of one size."""
    draws = torch.Generator().manual_seed(tokens)
    features = torch.randn(1, tokens, WIDTH, generator=draws)
    distance = cosine_distances(features)
    distance[0].fill_diagonal_(float("-inf"))
    kernel = torch.rand(tokens, 1, generator=draws) + 0.5
    kernel = kernel * kernel.mT * (1 - cosine_distances(features)[0])
    kernel.diagonal().add_(0.01)
    first = torch.zeros(1, dtype=torch.int64)
    pivots = list(range(0, tokens, tokens // PIVOTS))[:PIVOTS]
    taken = torch.zeros(1, tokens, dtype=torch.bool)
    taken[:, pivots] = True
    yield Contest(
        "max-min",
        lambda: farthest_first(distance, first, count=count),
        lambda: max_min_loop(distance[0], 0, count),
    )
    yield Contest(
        "max-min from features",
        lambda: max_min(features, count),
        lambda: max_min_from_features(features, count),
        limit=None,
    )
    yield Contest("DPP", lambda: dpp_greedy(kernel[None], count), lambda: dpp_loop(kernel, count))
    yield Contest(
        "DPP against its fast form in torch",
        lambda: dpp_greedy(kernel[None], count),
        lambda: dpp_factor_loop(kernel, count),
        limit=None,
    )
    yield Contest(
        "pivots from features",
        lambda: least_similar(features, features[:, pivots], count=count, taken=taken),
        lambda: pivot_loop(features, pivots, count),
    )


def main() -> int:
    """Time every contest in interleaved rounds."""
    options = arguments(__doc__ or "")
    rows, goals, figures = [], [], []
    with fixed_threads(1):
        for tokens, count in SIZES[:1] if options.quick else SIZES:
            for contest in contests(tokens, count):
                equal = torch.equal(contest.ours(), contest.loop())
                taken = interleave({"ours": contest.ours, "loop": contest.loop}, rounds=3 if options.quick else 5)
                gain = ratio_interval(taken["loop"], taken["ours"])
                ours, loop = (float(sorted(taken[name])[len(taken[name]) // 2]) * 1e3 for name in ("ours", "loop"))
                name = f"{contest.name}, N = {tokens}, K = {count}"
                rows.append([name, f"{ours:.2f}", f"{loop:.2f}", f"{gain.median:.1f}", f"{gain.low:.1f}", equal])
                figures.append({"name": name, "ours_ms": ours, "loop_ms": loop, "gain": list(gain), "equal": equal})
                goals.append(Goal(f"equal indices: {name}", str(equal), "True", equal))
                if contest.limit is not None:
                    met = gain.median >= contest.limit
                    goals.append(Goal(f"times as fast: {name}", f"{gain.median:.1f}", f">= {contest.limit}", met))
    columns = ["selector", "ours ms", "loop ms", "times as fast", "at least (95 %)", "equal indices"]
    show(f"One thread, features of {WIDTH} channels, medians of interleaved rounds", columns, rows)
    return finish(goals, json_file=options.json, figures=figures, quick=options.quick)


if __name__ == "__main__":
    sys.exit(main())
