"""Every Triton kernel with its torch reference, at the sizes of one model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

import torch

from foveate.kernels.max_min import cosine_distances


@dataclass(frozen=True)
class Sizes:
    """Tokens, kept, channels, and the heads of one layer."""

    tokens: int
    kept: int
    width: int
    heads: int
    groups: int
    head: int


@dataclass(frozen=True)
class Pair:
    """A kernel, its reference, and the arguments that both take.

    `moved` is how many bytes it must read and write at the least; None where it does so much more besides that memory
    is not what bounds it. `loops`: its reference loops over tokens, which torch.compile would unroll.
    """

    name: str
    triton: Callable[..., Any]
    torch: Callable[..., Any]
    args: tuple[Any, ...]
    options: dict[str, Any]
    moved: int | None
    loops: bool

    def ways(self, *, backend: str) -> dict[str, Callable[[], Any]]:
        """The kernel, its reference and, where it pays to try, the reference under torch.compile."""
        found = {"triton": self.triton, "torch": self.torch}
        if not self.loops:
            found["compiled"] = torch.compile(self.torch, backend=backend, dynamic=False)
        return {name: partial(way, *self.args, **self.options) for name, way in found.items()}


def pair(
    module: str,
    name: str,
    *args: Any,
    label: str = "",
    moved: int | None = None,
    loops: bool = False,
    **options: Any,
) -> Pair:
    """`name`_torch of the file `module`, and `name`_triton of the one beside it."""
    reference = import_module(f"foveate.kernels.{module}")
    kernel = import_module(f"foveate.kernels.{module}_triton")
    ways = getattr(kernel, f"{name}_triton"), getattr(reference, f"{name}_torch")
    return Pair(name + label, *ways, args, options, moved, loops)


def pairs(sizes: Sizes, *, device: str, dtype: torch.dtype) -> Iterator[Pair]:
    """All kernels at the sizes of one model."""
    draws = torch.Generator(device).manual_seed(0)

    def normal(*shape: int, dtype: torch.dtype = dtype) -> torch.Tensor:
        return torch.randn(*shape, generator=draws, device=device).to(dtype)

    features, scores = normal(1, sizes.tokens, sizes.width), normal(1, sizes.tokens, dtype=torch.float32)
    yield from _selecting(sizes, features, scores)
    yield from _merging(sizes, features)
    query, key = normal(1, sizes.heads, sizes.tokens, sizes.head), normal(1, sizes.groups, sizes.tokens, sizes.head)
    yield from _attending(sizes, query, key)


def _selecting(sizes: Sizes, features: torch.Tensor, scores: torch.Tensor) -> Iterator[Pair]:
    places, kept = torch.arange(sizes.tokens, device=features.device)[None], sizes.kept
    row = kept * sizes.width * features.element_size()
    beside = 2 * kept * (places.element_size() + scores.element_size()) + _bytes(scores)
    given = {"positions": places, "sizes": scores}
    yield pair("top_k", "top_k", scores, count=kept)
    yield pair("compaction", "compact_top_k", scores, features, count=kept, moved=2 * row + beside, **given)
    yield pair("gathering", "compact_at", places[:, :kept], features, moved=2 * row + beside, **given)
    yield pair("token_norm", "token_norm", features, moved=_bytes(features, scores))
    distance = cosine_distances(features)
    kernel = (1 - distance) + torch.eye(sizes.tokens, device=features.device)
    distance.diagonal(dim1=-2, dim2=-1).fill_(float("-inf"))
    yield pair("max_min", "farthest_first", distance, places[:, 0], count=kept, loops=True)
    yield pair("farthest_subset", "farthest_subset", features, count=kept, loops=True)
    yield pair("dpp", "dpp_greedy", kernel, kept, loops=True)
    yield pair("pivot", "least_similar", features, features[:, :8], count=kept)


def _merging(sizes: Sizes, features: torch.Tensor) -> Iterator[Pair]:
    tokens, kept, width = sizes.tokens, sizes.kept, sizes.width
    per_token = width * features.element_size()
    yield pair("best_match", "best_match", features[:, ::2], features[:, 1::2])
    joined = torch.arange(tokens, device=features.device)[None] % kept
    moved = _bytes(features) + kept * per_token
    yield pair("segmented_mean", "segmented_mean", features, joined, groups=kept, moved=moved)
    grid, cells = (1, tokens // 8, 8), features[:, : tokens // 8 * 8]
    pooled = (1, -(-grid[1] // 2), 4)
    moved = (cells.shape[1] + pooled[1] * pooled[2]) * per_token
    yield pair("grid_pooling", "pool_grid", cells, grid=grid, pooled=pooled, moved=moved)
    clip = features[:, : tokens // 4 * 4].reshape(1, 4, -1, width)
    yield pair("temporal_runs", "temporal_runs", clip, threshold=0.9, moved=_bytes(clip))
    yield pair("neighbour_chains", "neighbour_chains", features, count=kept, moved=_bytes(features))
    yield pair("density_peaks", "density_peaks", features, neighbours=5)
    yield pair("matched_pairs", "matched_pairs", features, count=tokens - tokens // 4)
    yield from _comparing(features)
    yield from _collecting(sizes, features)


def _collecting(sizes: Sizes, features: torch.Tensor) -> Iterator[Pair]:
    """Tokens that collect others, by the first 64 channels as keys and the first channel as a score."""
    kept, keys, scores = sizes.kept, features[..., :64], features[..., 0].float()
    index = torch.arange(kept, device=features.device)[None]
    place = torch.arange(sizes.tokens, device=features.device)[None]
    joined, place = place % kept, place.where(place < kept, -1)
    yield pair("strided_choice", "strided_choice", scores, best=kept, strided=1)
    yield pair("anchor_joining", "join_anchors", keys, index[:, ::4], place)
    yield pair("anchored_mean", "anchored_mean", features, index, joined)
    given = (keys, scores, index, index[:, -1:], joined)
    yield pair("neighbour_weights", "neighbour_weights", *given, neighbours=min(32, sizes.tokens - 1))
    weight = torch.ones(1, kept, sizes.tokens, device=features.device)
    yield pair("mixing", "mix_tokens", weight, features, moved=_bytes(weight, features, features[:, :kept]))
    yield pair("key_pivots", "unlike_key_pivots", keys, features, count=kept, own=4)
    yield pair("prompt_subset", "prompt_subset", features, features[:, :8], count=kept, loops=True)
    places = sizes.tokens // 4 * 4
    clip = {"count": min(kept, places), "frames": 4, "threshold": 0.5}
    yield pair("merged_runs", "merged_runs", scores[:, :places], scores[:, :places], **clip)


def _comparing(features: torch.Tensor) -> Iterator[Pair]:
    """States with earlier ones, and frames with earlier frames: 4 of them, the first of which stays whole."""
    moved, device = _bytes(features), features.device
    yield pair("token_shift", "token_shift", features, features.roll(1, dims=1), moved=2 * moved)
    frames = features[:, : features.shape[1] // 4 * 4]
    places = frames.shape[1] // 4
    earlier, whole = torch.tensor([-1, 0, 1, 2], device=device), torch.ones(places, device=device)
    clip = {"frames": 4, "positions": places}
    yield pair("frame_change", "frame_change", frames, earlier, whole, moved=_bytes(frames), **clip)
    scores, quota = frames[..., 0].float(), places // 2
    quotas, starts = torch.full((4,), quota, device=device), quota * torch.arange(4, device=device)
    yield pair("quota_top_k", "quota_top_k", scores, quotas, starts, count=4 * quota, frames=4)


def _attending(sizes: Sizes, query: torch.Tensor, key: torch.Tensor) -> Iterator[Pair]:
    scale, places = sizes.head**-0.5, torch.arange(sizes.kept, device=key.device)[None]
    for rows in (1, 16):
        label = f", {rows} row{'s' * (rows > 1)}"
        moved = _bytes(key) if rows == 1 else None
        yield pair("thin_attention", "thin_attention", query[:, :, -rows:], key, label=label, scale=scale, moved=moved)
    yield pair("column_mass", "column_mass", query, key, scale=scale, causal=True)
    kept = 4 * sizes.groups * sizes.kept * sizes.head * key.element_size()
    yield pair("cache_compaction", "compact_cache", key, key, places, moved=kept)


def _bytes(*tensors: torch.Tensor) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def equal(found: Any, expected: Any) -> bool:
    """Indices equal and values to the tolerance of the dtype."""
    bounds = {torch.bfloat16: 2e-2, torch.float32: 1e-4}
    return all(
        torch.equal(a, b)
        if not a.is_floating_point()
        else torch.allclose(a, b, rtol=bounds[a.dtype], atol=bounds[a.dtype])
        for a, b in zip(_parts(found), _parts(expected), strict=True)
    )


def _parts(result: Any) -> list[torch.Tensor]:
    """The tensors of a result, whether it is one, a tuple or a record of them."""
    if isinstance(result, torch.Tensor):
        return [result]
    values = result if isinstance(result, tuple) else vars(result).values()
    return [value for value in values if value is not None]
