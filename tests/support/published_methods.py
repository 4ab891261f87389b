"""Numpy versions of published methods that more than one test file compares with."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from published import array, cosines, descending, signal

from foveate.ir.signal import decoder_key, mean_query_row


def dbdpc(distance: np.ndarray, cutoff: float) -> list[int]:
    """The public code's recursion: all points farther than the cutoff from every denser one that is left, again."""
    density = np.exp(-((distance / 2) ** 2)).sum(axis=1)
    centres, left = [], list(range(len(distance)))
    while left:
        new = [i for i in left if all(distance[i, j] > cutoff for j in left if density[j] > density[i])]
        centres += new
        left = [i for i in left if i not in new and all(distance[i, c] > cutoff for c in new)]
    return sorted(centres)


def pact(tokens, row: int, cutoff: float, share: float, recovery: float) -> dict[int, np.ndarray]:
    """The published method, which decides itself how many tokens stay."""
    features = array(tokens.features[row])
    keys = signal(tokens, decoder_key(0), row).reshape(len(features), -1)
    score = signal(tokens, mean_query_row(), row) * np.linalg.norm(features, axis=1)
    kept = sorted(descending(score)[: int(len(features) * share)])
    distance = 1 - cosines(keys, keys)
    centres = [kept[i] for i in dbdpc(distance[np.ix_(kept, kept)], cutoff)]
    nearest, gap = distance[:, centres].argmin(axis=1), distance[:, centres].min(axis=1)
    nearest[centres], gap[centres] = range(len(centres)), 0
    members = [np.flatnonzero((nearest == place) & (gap <= recovery * cutoff)) for place in range(len(centres))]
    return {centre: features[group].mean(axis=0) for centre, group in zip(centres, members, strict=True)}


def collected(features, attention, keys, kept: list[int], neighbours: int, *, residual: bool) -> dict[int, np.ndarray]:
    """The public code's merge for given kept tokens; the residual token stands at the last pruned token."""
    total = len(features)
    flat = keys.reshape(total, -1)
    out = {}
    for i in kept:
        similar = cosines(flat[[i]], flat)[0]
        nearest = [j for j in descending(similar) if j != i][:neighbours]
        out[i] = features[i] + sum(attention[j] * features[j] for j in nearest)
    if residual:
        pruned = [i for i in range(total) if i not in kept]
        out[pruned[-1]] = sum(attention[j] * features[j] for j in pruned)
    return out


def frames_of(tokens, row: int) -> np.ndarray:
    return array(tokens.features[row]).reshape(tokens.layout.grid[0], -1, tokens.features.shape[-1])


def runs_merged(features: np.ndarray, frames: int, merged: set[int]) -> dict[int, list[int]]:
    """Chains over time: each merged token joins the run that the token one frame before is in."""
    places = len(features) // frames
    start: dict[int, int] = {}
    for i in range(len(features)):
        start[i] = start[i - places] if i in merged else i
    return {first: [i for i in start if start[i] == first] for first in set(start.values())}


def peaks(points: np.ndarray, neighbours: int) -> np.ndarray:
    """Density times distance to a denser point, as in the public codes of FastVID and HoliTom."""
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1) / points.shape[1] ** 0.5
    density = np.exp(-(np.sort(distance, axis=1)[:, :neighbours] ** 2).mean(axis=1))
    order = np.arange(len(points))
    gap = np.full(len(points), distance.max())
    for i in range(len(points)):
        denser = (density > density[i]) | ((density == density[i]) & (order < i))
        gap[i] = distance[i, denser].min() if denser.any() else gap[i]
    return gap * density


def runs(labels: list[int]) -> list[tuple[int, int]]:
    """(first, last) of every stretch of equal labels."""
    edges = [0, *(i for i in range(1, len(labels)) if labels[i] != labels[i - 1]), len(labels)]
    return [(a, b - 1) for a, b in pairwise(edges)]


def refined(labels: list[int]) -> list[int]:
    """PruneVid's public code: only each cluster's longest stretches stay, the others go to the longer neighbour."""
    out = list(labels)
    for cluster in set(labels):
        stretches = [(a, b) for a, b in runs(labels) if labels[a] == cluster]
        longest = max(b - a + 1 for a, b in stretches)
        for a, b in stretches:
            if longest == 1 or b - a + 1 < longest:
                out[a : b + 1] = [-1] * (b - a + 1)
    while -1 in out:
        first, last = next((a, b) for a, b in runs(out) if out[a] == -1)
        left = next(((a, b) for a, b in runs(out) if b == first - 1), None)
        right = next(((a, b) for a, b in runs(out) if a == last + 1), None)
        lengths = [0 if run is None else run[1] - run[0] + 1 for run in (left, right)]
        new = 0 if max(lengths) == 0 else out[first - 1] if lengths[0] >= lengths[1] else out[last + 1]
        out[first : last + 1] = [new] * (last - first + 1)
    return out


def prunevid_groups(tokens, row: int, method) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """The public code's groups: first token of the frame that holds one, its places there, and their features."""
    frames = frames_of(tokens, row)
    places, means = frames.shape[1], frames.mean(axis=1)
    centres = descending(peaks(means, min(method.neighbours, len(means))))[: max(1, int(len(frames) * method.segments))]
    labels = np.linalg.norm(means[:, None] - means[centres][None], axis=-1).argmin(axis=1)
    labels[centres] = range(len(centres))
    groups = []  # (frame, places, features)
    for first, last in runs(refined(labels.tolist())):
        unit = frames[first : last + 1] / np.linalg.norm(frames[first : last + 1], axis=-1, keepdims=True)
        pairs = [(unit[a] * unit[b]).sum(axis=-1) for a in range(len(unit)) for b in range(a)]
        static = np.mean(pairs, axis=0) > method.threshold if pairs else np.zeros(places, dtype=bool)
        for t in range(first, last + 1):
            groups.append((t * places, np.flatnonzero(~static), frames[t, ~static]))
            kept = np.flatnonzero(static) if t == first else np.zeros(0, dtype=int)
            groups.append((t * places, kept, frames[first : last + 1, kept].mean(axis=0)))
    return groups
