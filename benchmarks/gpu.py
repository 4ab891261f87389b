"""Every Triton kernel against its torch reference on a GPU: the same results, and times side by side.

Without a GPU it runs at toy size in Triton's interpreter, which shows that the script works and no more.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from shutil import which
from typing import Any

INTERPRETED = which("nvidia-smi") is None
if INTERPRETED:  # before anything imports Triton
    os.environ["TRITON_INTERPRET"] = "1"

import torch  # noqa: E402
from _table import Goal, arguments, finish, show  # noqa: E402

from foveate.common.timing import interleave, ratio_interval  # noqa: E402
from foveate.kernels.max_min import cosine_distances  # noqa: E402

DEVICE = "cpu" if INTERPRETED else "cuda"
DTYPE = torch.float32 if INTERPRETED else torch.bfloat16
# tokens, kept, width, heads, key heads, head size
SIZES = ((19, 5, 16, 4, 2, 16),) if INTERPRETED else ((576, 64, 4096, 32, 32, 128), (2880, 320, 3584, 28, 4, 128))


@dataclass(frozen=True)
class Pair:
    """A kernel, its reference, and the arguments that both take."""

    name: str
    triton: Callable[..., Any]
    torch: Callable[..., Any]
    args: tuple[Any, ...]
    options: dict[str, Any]

    def ways(self) -> dict[str, Callable[[], Any]]:
        """Both ways as calls without arguments."""
        return {
            "triton": partial(self.triton, *self.args, **self.options),
            "torch": partial(self.torch, *self.args, **self.options),
        }


def pair(module: str, name: str, *args: Any, beside: str = "", label: str = "", **options: Any) -> Pair:
    """`name`_triton of the kernel's file (that of the reference, or `beside`) and `name`_torch of the reference's."""
    reference = import_module(f"foveate.kernels.{module}")
    kernel = import_module(f"foveate.kernels.{beside or module}_triton")
    return Pair(name + label, getattr(kernel, f"{name}_triton"), getattr(reference, f"{name}_torch"), args, options)


def pairs(tokens: int, kept: int, width: int, heads: int, groups: int, size: int) -> Iterator[Pair]:
    """All kernels at the sizes of one model."""
    draws = torch.Generator(DEVICE).manual_seed(0)

    def normal(*shape: int, dtype: torch.dtype = DTYPE) -> torch.Tensor:
        return torch.randn(*shape, generator=draws, device=DEVICE).to(dtype)

    features, scores = normal(1, tokens, width), normal(1, tokens, dtype=torch.float32)
    query, key = normal(1, heads, tokens, size), normal(1, groups, tokens, size)
    places = torch.arange(tokens, device=DEVICE)[None]
    yield pair("compaction", "compact_top_k", scores, features, count=kept, positions=places, sizes=scores)
    distance = cosine_distances(features)
    distance.diagonal(dim1=-2, dim2=-1).fill_(float("-inf"))
    yield pair("max_min", "farthest_first", distance, places[:, 0], count=kept)
    yield pair("dpp", "dpp_greedy", (1 - cosine_distances(features)) + torch.eye(tokens, device=DEVICE), kept)
    yield pair("pivot", "least_similar", features, features[:, :8], count=kept)
    yield pair("best_match", "best_match", features[:, ::2], features[:, 1::2])
    yield pair("thin_attention", "thin_attention", query[:, :, -1:], key, label=", 1 row", scale=size**-0.5)
    yield pair("thin_attention", "thin_attention", query[:, :, -16:], key, label=", 16 rows", scale=size**-0.5)
    yield pair("column_mass", "column_mass", query, key, scale=size**-0.5, causal=True)
    groups_of = places % kept
    yield pair("nearest_anchor", "segmented_mean", features, groups_of, beside="segmented_mean", groups=kept)
    grid = (1, tokens // 8, 8)
    cells = features[:, : tokens // 8 * 8]
    yield pair("grid_pooling", "pool_grid", cells, grid=grid, pooled=(1, -(-grid[1] // 2), 4))
    clip = features[:, : tokens // 4 * 4].reshape(1, 4, -1, width)
    yield pair("temporal_runs", "temporal_runs", clip, threshold=0.9)
    yield pair("density_peaks", "density_peaks", features, neighbours=5)
    yield pair("cache_compaction", "compact_cache", key, key, places[:, :kept])


def parts(result: Any) -> list[torch.Tensor]:
    """The tensors of a result, whether it is one, a tuple or a record of them."""
    if isinstance(result, torch.Tensor):
        return [result]
    values = result if isinstance(result, tuple) else vars(result).values()
    return [value for value in values if value is not None]


def equal(found: Any, expected: Any) -> bool:
    """Indices equal and values to the tolerance of the dtype."""
    bounds = {torch.bfloat16: 2e-2, torch.float32: 1e-4}
    return all(
        torch.equal(a, b)
        if not a.is_floating_point()
        else torch.allclose(a, b, rtol=bounds[a.dtype], atol=bounds[a.dtype])
        for a, b in zip(parts(found), parts(expected), strict=True)
    )


def main() -> int:
    """Compare and time every pair at every size."""
    options = arguments(__doc__ or "")
    rounds = 2 if options.quick or INTERPRETED else 21
    rows, goals, figures = [], [], []
    for sizes in SIZES:
        for one in pairs(*sizes):
            ways = one.ways()
            agree = equal(ways["triton"](), ways["torch"]())
            wait = None if INTERPRETED else torch.cuda.synchronize
            taken = interleave(ways, rounds=rounds, synchronize=wait)
            gain = ratio_interval(taken["torch"], taken["triton"])
            name = f"{one.name}, N = {sizes[0]}"
            middle = {way: float(sorted(samples)[rounds // 2]) * 1e3 for way, samples in taken.items()}
            rows.append([name, f"{middle['triton']:.3f}", f"{middle['torch']:.3f}", f"{gain.median:.2f}", agree])
            figures.append({"name": name, **middle, "gain": list(gain), "equal": agree})
            goals.append(Goal(f"equals its reference: {name}", str(agree), "True", agree))
    where = "Triton's interpreter (times mean nothing)" if INTERPRETED else torch.cuda.get_device_name()
    show(f"Kernels on {where}, {DTYPE}", ["kernel", "Triton ms", "torch ms", "times as fast", "equal"], rows)
    return finish(goals, json_file=options.json, figures=figures, quick=options.quick or INTERPRETED)


if __name__ == "__main__":
    sys.exit(main())
