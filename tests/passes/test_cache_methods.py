"""Cache passes against plain numpy versions of their papers' formulas, on the queries and keys of real tiny models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from tiny import IMAGE_TOKEN, batch, tiny_llava

from foveate.common.errors import BadInput
from foveate.ir.layout import kept_count
from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.passes.cache_base import CachedTokens, CachePass
from foveate.passes.contract import check_pass
from foveate.passes.pyramidkv import PyramidKV
from foveate.runtime import apply

Array = npt.NDArray[np.float64]
KEEP = 0.4
DEPTH, HEADS = 4, 2


@dataclass(frozen=True)
class Layer:
    """One layer of the unmodified model: probabilities (H, L, L) and keys (G, L, D) of a prompt without padding."""

    probabilities: Array
    keys: Array

    def received(self, queries: slice) -> Array:
        """(G, L) attention from some queries, summed, then averaged over each group of query heads."""
        summed = self.probabilities[:, queries].sum(axis=1)
        grouped: Array = summed.reshape(self.keys.shape[0], -1, summed.shape[-1]).mean(axis=1)
        return grouped


def best(scores: Array, places: list[int], count: int) -> list[int]:
    """The places with the highest scores, in order."""
    ranked = sorted(places, key=lambda place: (-scores[place], place))
    return sorted(ranked[:count])


def pooled(scores: Array, kernel: int) -> Array:
    """Moving average with zeros beyond the ends."""
    half = kernel // 2
    padded = np.concatenate([np.zeros(half), scores, np.zeros(half)])
    return np.array([padded[i : i + kernel].sum() / kernel for i in range(len(scores))])


def h2o(layer: Layer, head: int, places: list[int], count: int, *, whole: bool) -> list[int]:
    score = layer.received(slice(None))[head]
    recent = count // 2 if whole else 0
    last = places[len(places) - recent :]
    return sorted(best(score, places[: len(places) - recent], count - recent) + last)


def snapkv(layer: Layer, head: int, places: list[int], count: int, *, whole: bool) -> list[int]:
    score = layer.received(slice(-4, None))[head]
    window = min(4, count) if whole else 0
    before = places[: len(places) - window]
    smooth = dict(zip(before, pooled(score[before], 5), strict=True))
    ranked = sorted(before, key=lambda place: (-smooth[place], place))
    return sorted(ranked[: count - window] + places[len(places) - window :])


def knorm(layer: Layer, head: int, places: list[int], count: int, *, whole: bool) -> list[int]:
    return best(-np.linalg.norm(layer.keys[head], axis=-1), places, count)


def streaming(layer: Layer, head: int, places: list[int], count: int, *, whole: bool) -> list[int]:
    first = min(2, count)
    return places[:first] + places[len(places) - (count - first) :]


Oracle = Callable[..., list[int]]
METHODS: dict[str, tuple[Oracle, dict[str, Any]]] = {
    "h2o": (h2o, {}),
    "snapkv": (snapkv, {"window": 4}),
    "pyramidkv": (snapkv, {"window": 4, "beta": 5}),
    "knorm": (knorm, {"skipped": 1}),
    "streamingllm": (streaming, {"sinks": 2}),
}


def layers_of(model: Any, inputs: dict[str, torch.Tensor]) -> list[Layer]:
    with torch.no_grad():
        output = model(**inputs, output_attentions=True, use_cache=True)
    keys = [layer.keys[0].double().numpy() for layer in output.past_key_values.layers]
    return [Layer(p[0].double().numpy(), k) for p, k in zip(output.attentions, keys, strict=True)]


def budget(method: str, layer: int, total: int) -> int:
    """Entries that a layer keeps, from the papers' words: all alike, first layers skipped, or a falling line."""
    mean = kept_count(total, KEEP)
    if method == "knorm" and layer < 1:
        return total
    if method != "pyramidkv":
        return mean
    least = max(1, mean // 5, 2 * mean - total)
    most = 2 * mean - least
    line = most - layer * (most - least) / (DEPTH - 1)
    return int(np.floor(line + 0.5)) if 2 * layer < DEPTH else 2 * mean - budget(method, DEPTH - 1 - layer, total)


@pytest.mark.parametrize("scope", ["media", "all"])
@pytest.mark.parametrize("method", METHODS)
def test_it_keeps_what_the_paper_says(method: str, scope: str) -> None:
    oracle, params = METHODS[method]
    model, inputs = tiny_llava(attention="eager", decoder="llama"), batch([(2, 6)])
    layers, length = layers_of(model, inputs), inputs["input_ids"].shape[1]
    with (
        torch.no_grad(),
        apply(model, Plan.of(Placement(method, "decoder.cache", KEEP, {**params, "scope": scope}))) as h,
    ):
        model(**inputs)
    pictures = [place for place in range(length) if inputs["input_ids"][0, place] == IMAGE_TOKEN]
    streams = [pictures[:16], pictures[16:]] if scope == "media" else [list(range(length))]
    text = [place for place in range(length) if place not in pictures] if scope == "media" else []
    for number, layer in enumerate(layers):
        for head in range(HEADS):
            expected = list(text)
            for places in streams:
                count = budget(method, number, len(places))
                expected += oracle(layer, head, places, count, whole=scope == "all")
            found = h.cached[number][0, head].tolist() if number in h.cached else list(range(length))
            assert found == sorted(expected), (number, head)


def test_h2o_evicts_the_lightest_entry_that_is_not_recent_at_every_step() -> None:
    """The cache of each step against the algorithm in numpy, on probabilities that the compressed model computed."""
    model, inputs = tiny_llava(attention="eager", decoder="llama"), batch([(1, 6)])
    plan = Plan.of(Placement("h2o", "decoder.cache", KEEP, {"scope": "all"}))
    layers, length = layers_of(model, inputs), inputs["input_ids"].shape[1]
    count = kept_count(length, KEEP)
    held = [[h2o(layer, head, list(range(length)), count, whole=True) for head in range(HEADS)] for layer in layers]
    scores = [layer.received(slice(None)) for layer in layers]
    with torch.no_grad(), apply(model, plan):
        cache = model(**inputs, use_cache=True).past_key_values
        for step in range(6):
            word, now = torch.tensor([[7 + step]]), length + step
            output = model(word, past_key_values=cache, use_cache=True, output_attentions=True)
            for number, probabilities in enumerate(output.attentions):
                row = probabilities[0, :, 0].double().numpy().reshape(HEADS, 2, -1).mean(axis=1)
                scores[number] = np.pad(scores[number], ((0, 0), (0, 1)))
                for head in range(HEADS):
                    there = [*held[number][head], now]
                    scores[number][head, there] += row[head]
                    recent = count // 2
                    old = there[: len(there) - recent]
                    lightest = min(old, key=lambda place: (scores[number][head, place], -place))
                    held[number][head] = [place for place in there if place != lightest]
                found = cache.foveate_ledger.held[number].index[0].tolist()
                assert found == held[number], (step, number)
            assert {layer.keys.shape[2] for layer in cache.layers} == {count}


@pytest.mark.parametrize("scope", ["media", "all"])
def test_random_entries_differ_by_layer_and_head_and_follow_the_seed(scope: str) -> None:
    model, inputs = tiny_llava(), batch([(1, 6)])

    def kept(seed: int) -> dict[int, Any]:
        params = {"scope": scope, "seed": seed}
        with torch.no_grad(), apply(model, Plan.of(Placement("random-kv", "decoder.cache", KEEP, params))) as handle:
            model(**inputs)
            return {layer: index[0].tolist() for layer, index in handle.cached.items()}

    first = kept(0)
    assert kept(0) == first != kept(1)
    assert len({str(head) for heads in first.values() for head in heads}) == DEPTH * HEADS


def test_random_eviction_comes_at_intervals() -> None:
    model, inputs = tiny_llava(), batch([(1, 6)])
    params = {"scope": "all", "every": 4}
    with torch.no_grad(), apply(model, Plan.of(Placement("random-kv", "decoder.cache", 0.5, params))):
        cache = model(**inputs, use_cache=True).past_key_values
        sizes = [cache.layers[0].keys.shape[2]]
        for step in range(9):
            model(torch.tensor([[7 + step]]), past_key_values=cache, use_cache=True)
            sizes.append(cache.layers[0].keys.shape[2])
    assert sizes == [kept_count(inputs["input_ids"].shape[1], 0.5) + more for more in (0, 1, 2, 3, 0, 1, 2, 3, 0, 1)]


@pytest.mark.parametrize("depth", [1, 2, 5, 32])
@pytest.mark.parametrize("total", [1, 7, 64, 576])
@pytest.mark.parametrize("keep", [0.02, 0.2, 0.6, 0.97])
def test_the_pyramid_falls_and_has_the_same_total(keep: float, total: int, depth: int) -> None:
    counts = [PyramidKV().layer_count(total, keep, layer=layer, depth=depth) for layer in range(depth)]
    assert counts == sorted(counts, reverse=True)
    assert sum(counts) == depth * kept_count(total, keep)


def test_a_pass_of_this_kind_is_refused_elsewhere_and_another_scope_too() -> None:
    model = tiny_llava()
    with pytest.raises(BadInput, match=r"acts at decoder\.cache"):
        apply(model, Plan.of(Placement("snapkv", "decoder.layers.1", 0.5)))
    with pytest.raises(BadInput, match="write media or all"):
        apply(model, Plan.of(Placement("snapkv", "decoder.cache", 0.5, {"scope": "text"})))


@dataclass(frozen=True)
class Keys(CachePass):
    """A pass that a user might write: the largest keys stay. The broken ones below each change one thing."""

    name = "largest-keys"
    source = "tests"
    summary = "keep the largest keys"
    mechanism = "similarity"

    def on_prefill(self, tokens: CachedTokens, count: int) -> torch.Tensor:
        largest = tokens.keys.float().norm(dim=-1).argsort(dim=-1, descending=True, stable=True)
        return largest[..., :count].sort(dim=-1).values


@dataclass(frozen=True)
class KeepsOneMore(Keys):
    def on_prefill(self, tokens: CachedTokens, count: int) -> torch.Tensor:
        return super().on_prefill(tokens, min(count + 1, tokens.count))


@dataclass(frozen=True)
class Unsorted(Keys):
    def on_prefill(self, tokens: CachedTokens, count: int) -> torch.Tensor:
        return super().on_prefill(tokens, count).flip(-1)


@dataclass(frozen=True)
class LooksAcrossRows(Keys):
    def on_prefill(self, tokens: CachedTokens, count: int) -> torch.Tensor:
        return super().on_prefill(replace(tokens, keys=tokens.keys - tokens.keys.mean(dim=0)), count)


@dataclass(frozen=True)
class Waits(Keys):
    def on_prefill(self, tokens: CachedTokens, count: int) -> torch.Tensor:
        return super().on_prefill(replace(tokens, keys=tokens.keys * tokens.keys.max().item()), count)


@dataclass(frozen=True)
class EvictsAtOne(Keys):
    def layer_count(self, tokens: int, keep: float, *, layer: int, depth: int) -> int:
        return max(1, super().layer_count(tokens, keep, layer=layer, depth=depth) - 1) if tokens else 0


@dataclass(frozen=True)
class Shuffles(Keys):
    def on_prefill(self, tokens: CachedTokens, count: int) -> torch.Tensor:
        return super().on_prefill(replace(tokens, keys=torch.rand_like(tokens.keys)), count)


@pytest.mark.parametrize(
    ("cls", "sentence"),
    [
        (KeepsOneMore, "returned"),
        (Unsorted, "unsorted"),
        (LooksAcrossRows, "in a batch than alone"),
        (Waits, "on the host"),
        (EvictsAtOne, "evicts at keep 1"),
        (Shuffles, "own generator"),
    ],
)
def test_the_contract_catches_what_breaks_it(cls: type[Keys], sentence: str) -> None:
    check_pass(Keys)
    with pytest.raises(AssertionError, match=sentence):
        check_pass(cls)
