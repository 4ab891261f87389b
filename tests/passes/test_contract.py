"""The contract for every registered pass, and that each of its checks catches a pass that breaks it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch

from foveate.ir.layout import Layout
from foveate.ir.op import Op
from foveate.ir.polynomial import ROWS, as_polynomial
from foveate.ir.signal import cls_row, last_row
from foveate.passes import REGISTRY, Compression, Pass, Tokens
from foveate.passes import contract as promises
from foveate.passes.score import ScorePass

PARAMS: dict[str, list[dict[str, Any]]] = {
    "random": [{"seed": 7}],
    "fastervlm": [{"layer": -2}],
    "norm": [{"smallest": True}],
    "visionzip": [{"reads": "mean", "contextual": 0.5}, {"contextual": 0.0}, {"contextual": 1.0}],
    "vispruner": [{"important": 1.0}, {"important": 0.0, "per_round": 1}],
    "prumerge-plus": [{"outliers": 1.0, "neighbours": 2}],
    "dart": [{"text_pivots": 0}, {"media_pivots": 1, "text_pivots": 9}],
    "sparsevlm": [{"recycled": 1.0, "per_cluster": 2}],
    "cdpruner-llm-text": [{"negated": True}],
    "pact-unweighted": [{"cutoff": 1.2, "share": 0.2}],
    "framefusion-once": [{"threshold": -1.0}],
    "fastvid": [{"segments": 2, "threshold": -1.0, "every": 2, "density": 0.9}],
    "holitom-outer": [{"threshold": -1.0}],
    "h2o": [{"recent": 0.0}, {"recent": 1.0}],
    "snapkv": [{"window": 1, "kernel": 7}],
    "pyramidkv": [{"beta": 2, "window": 3}],
    "streamingllm": [{"sinks": 0, "reindex": False}],
}


PROMISES = [(name, check) for name in REGISTRY.names() for check in promises.checks_of(REGISTRY.get(name))]


@pytest.mark.parametrize(
    ("name", "check"), PROMISES, ids=[f"{name}-{check.__name__.removeprefix('check_')}" for name, check in PROMISES]
)
def test_promise(name: str, check: Callable[[Pass], None]) -> None:
    check(REGISTRY.get(name)())


@pytest.mark.parametrize(("name", "params"), [(name, params) for name, each in PARAMS.items() for params in each])
def test_promises_hold_with_other_parameters(name: str, params: dict[str, Any]) -> None:
    promises.check_pass(REGISTRY.get(name), params)


@dataclass(frozen=True)
class Sound(ScorePass):
    """A pass that a user might write: the largest tokens stay. The broken ones below each change one thing."""

    name = "sound"
    source = "tests"
    summary = "keep the largest tokens"
    mechanism = "similarity"
    consumes = ("feature",)

    def score(self, tokens: Tokens) -> torch.Tensor:
        return tokens.features.float().norm(dim=-1)


@dataclass(frozen=True)
class Pairs(Sound):
    """A sound pass that merges: each dropped token joins the first token kept."""

    def compress(self, tokens: Tokens, target: Layout) -> Compression:
        index = super().compress(tokens, target).index
        groups = torch.arange(target.count, device=index.device).expand_as(index)
        assign = index.new_zeros(tokens.features.shape[:2]).scatter(1, index, groups)
        return Compression(index, assign)


@pytest.mark.parametrize("cls", [Sound, Pairs])
def test_a_pass_of_a_users_own_can_be_run_through_it(cls: type[Pass]) -> None:
    promises.check_pass(cls)


@dataclass(frozen=True)
class BadName(Sound):
    name = "Bad_Name"


@dataclass(frozen=True)
class NoSummary(Sound):
    summary = " "


@dataclass(frozen=True)
class BadSite(Sound):
    sites = ("projector",)


@dataclass(frozen=True)
class ListOfModalities(Sound):
    modalities = ["image"]  # noqa: RUF012


@dataclass(frozen=True)
class Nowhere(Sound):
    sites = ()


@dataclass(frozen=True)
class FactoryParameter(Sound):
    layers: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class TupleParameter(Sound):
    layers: tuple[int, ...] = (1, 2)


@dataclass(frozen=True)
class CountsWrong(Sound):
    def count(self, layout: Layout, keep: float) -> Layout:
        kept = super().count(layout, keep)
        return replace(kept, count=max(1, kept.count - 1), grid=None)


@dataclass(frozen=True)
class KeepsOneMore(Sound):
    def compress(self, tokens: Tokens, target: Layout) -> Compression:
        return super().compress(tokens, replace(target, count=target.count + 1, grid=None))


@dataclass(frozen=True)
class DropsPrefix(Sound):
    def count(self, layout: Layout, keep: float) -> Layout:
        return replace(super().count(layout, keep), separators=3)


@dataclass(frozen=True)
class Unsorted(Sound):
    def compress(self, tokens: Tokens, target: Layout) -> Compression:
        return Compression(super().compress(tokens, target).index.flip(-1))


@dataclass(frozen=True)
class Repeats(Sound):
    def compress(self, tokens: Tokens, target: Layout) -> Compression:
        return Compression(torch.zeros_like(super().compress(tokens, target).index))


@dataclass(frozen=True)
class OutOfRange(Sound):
    def compress(self, tokens: Tokens, target: Layout) -> Compression:
        return Compression(super().compress(tokens, target).index + 1)


@dataclass(frozen=True)
class Int32(Sound):
    def compress(self, tokens: Tokens, target: Layout) -> Compression:
        return Compression(super().compress(tokens, target).index.int())


@dataclass(frozen=True)
class LooksAcrossTheBatch(Sound):
    def score(self, tokens: Tokens) -> torch.Tensor:
        return (tokens.features - tokens.features.mean(dim=0)).norm(dim=-1)


@dataclass(frozen=True)
class SinglePrecisionOnly(Sound):
    def score(self, tokens: Tokens) -> torch.Tensor:
        if tokens.features.dtype != torch.float32:
            raise AssertionError("half precision")
        return tokens.features.norm(dim=-1)


@dataclass(frozen=True)
class MergesAtKeepOne(Pairs):
    def compress(self, tokens: Tokens, target: Layout) -> Compression:
        found = super().compress(tokens, target)
        return replace(found, assign=torch.zeros_like(found.assign))


@dataclass(frozen=True)
class Shuffles(Sound):
    def score(self, tokens: Tokens) -> torch.Tensor:
        return torch.rand(tokens.features.shape[:2], device=tokens.features.device)


@dataclass(frozen=True)
class WritesInPlace(Sound):
    def score(self, tokens: Tokens) -> torch.Tensor:
        return tokens.features.mul_(2.0).norm(dim=-1)


@dataclass(frozen=True)
class ReadsUndeclared(Sound):
    def score(self, tokens: Tokens) -> torch.Tensor:
        return tokens.signal(cls_row())


@dataclass(frozen=True)
class DeclaresUnread(Sound):
    def needs(self, layout: Layout) -> tuple[Any, ...]:
        return (cls_row(),)


@dataclass(frozen=True)
class ReadsTextSecretly(Sound):
    sites = ("projector.output",)

    def needs(self, layout: Layout) -> tuple[Any, ...]:
        return (last_row(),)

    def score(self, tokens: Tokens) -> torch.Tensor:
        return tokens.signal(last_row())


@dataclass(frozen=True)
class ReadsLayersFromOutside(Sound):
    query_aware = True

    def needs(self, layout: Layout) -> tuple[Any, ...]:
        return (last_row(),)

    def score(self, tokens: Tokens) -> torch.Tensor:
        return tokens.signal(last_row())


@dataclass(frozen=True)
class CombinesAcrossTheBatch(Pairs):
    def compress(self, tokens: Tokens, target: Layout) -> Compression:
        found = super().compress(tokens, target)
        return replace(found, combine=lambda features: features[:, : target.count] - features.mean(dim=0))


@dataclass(frozen=True)
class Waits(Sound):
    how: str = "item"

    def score(self, tokens: Tokens) -> torch.Tensor:
        score = super().score(tokens)
        waits = {
            "item": lambda: score.sum().item(),
            "bool": lambda: bool(score.sum() > 0),
            "nonzero": lambda: score.nonzero(),
            "mask": lambda: score[score > 0],
            "tolist": lambda: score.tolist(),
            "numpy": lambda: score.numpy(),
            "cpu": lambda: score.cpu(),
            "unique": lambda: score.unique(),
        }
        waits[self.how]()
        return score


@dataclass(frozen=True)
class OtherDevice(Sound):
    def compress(self, tokens: Tokens, target: Layout) -> Compression:
        return Compression(torch.arange(target.count).expand(tokens.features.shape[0], -1))


@dataclass(frozen=True)
class MovesRepresentatives(Pairs):
    def compress(self, tokens: Tokens, target: Layout) -> Compression:
        found = super().compress(tokens, target)
        return replace(found, assign=target.count - 1 - found.assign)


@dataclass(frozen=True)
class ZeroWeights(Pairs):
    def compress(self, tokens: Tokens, target: Layout) -> Compression:
        found = super().compress(tokens, target)
        return replace(found, weight=torch.zeros(found.assign.shape, device=found.assign.device))


@dataclass(frozen=True)
class GroupsOutOfRange(Pairs):
    def compress(self, tokens: Tokens, target: Layout) -> Compression:
        found = super().compress(tokens, target)
        return replace(found, assign=found.assign - 2)


@dataclass(frozen=True)
class Free(Sound):
    def ops(self, layout: Layout, width: int) -> tuple[Op, ...]:
        return ()


@dataclass(frozen=True)
class BelowZero(Sound):
    def ops(self, layout: Layout, width: int) -> tuple[Op, ...]:
        return (Op("odd", "gather", flops=-1 * ROWS, elements=ROWS),)


@dataclass(frozen=True)
class NoLaunch(Sound):
    def ops(self, layout: Layout, width: int) -> tuple[Op, ...]:
        return (Op("odd", "gather", elements=ROWS, launches=as_polynomial(0)),)


@pytest.mark.parametrize(
    ("cls", "check", "sentence"),
    [
        (BadName, promises.check_attributes, "is named 'Bad_Name'; write the name in kebab-case"),
        (NoSummary, promises.check_attributes, "has no summary; set the class attribute"),
        (BadSite, promises.check_attributes, "give a tuple of different words out of input"),
        (ListOfModalities, promises.check_attributes, "give a tuple of different words out of image"),
        (Nowhere, promises.check_attributes, "acts nowhere"),
        (FactoryParameter, promises.check_parameters, "without a plain default: layers"),
        (TupleParameter, promises.check_parameters, "that no plan file can hold"),
        (ReadsUndeclared, promises.check_needs, "without declaring it; return it from needs"),
        (DeclaresUnread, promises.check_needs, "but never reads it"),
        (ReadsTextSecretly, promises.check_needs, "set query_aware"),
        (ReadsLayersFromOutside, promises.check_needs, "set sites to ('decoder.layer',)"),
        (CountsWrong, promises.check_counts, "instead of"),
        (KeepsOneMore, promises.check_counts, "but counted"),
        (DropsPrefix, promises.check_counts, "both always stay"),
        (Unsorted, promises.check_indices, "returned unsorted or repeated indices"),
        (Repeats, promises.check_indices, "returned unsorted or repeated indices"),
        (OutOfRange, promises.check_indices, "returned indices outside 0.."),
        (Int32, promises.check_indices, "returned torch.int32 indices"),
        (LooksAcrossTheBatch, promises.check_batches, "gives another index in a batch than alone"),
        (CombinesAcrossTheBatch, promises.check_batches, "gives other features in a batch than alone"),
        (SinglePrecisionOnly, promises.check_dtypes, "half precision"),
        (MergesAtKeepOne, promises.check_identity, "changes features at keep 1"),
        (CountsWrong, promises.check_identity, "does not keep every token at keep 1"),
        (Shuffles, promises.check_determinism, "draws from torch's own generator"),
        (WritesInPlace, promises.check_determinism, "writes into the tokens"),
        (OtherDevice, promises.check_no_host_synchronisation, "returned indices on cpu"),
        (MovesRepresentatives, promises.check_merging, "moves a representative"),
        (ZeroWeights, promises.check_merging, "do not make a mean"),
        (GroupsOutOfRange, promises.check_merging, "assigns tokens to groups outside"),
        (Free, promises.check_ops, "has no ops"),
        (BelowZero, promises.check_ops, "costs less than nothing"),
        (NoLaunch, promises.check_ops, "starts no kernel"),
    ],
)
def test_a_broken_promise_is_named(cls: type[Pass], check: Callable[[Pass], None], sentence: str) -> None:
    with pytest.raises(AssertionError) as broken:
        check(cls())
    assert sentence in str(broken.value)
    if cls is not SinglePrecisionOnly:
        assert str(broken.value).startswith(f"the pass {cls.name!r} ")


def test_a_class_that_is_no_dataclass_is_named() -> None:
    class Plain(ScorePass):
        name, source, summary, mechanism = "plain", "tests", "no dataclass", "similarity"

        def score(self, tokens: Tokens) -> torch.Tensor:
            return tokens.features.norm(dim=-1)

    with pytest.raises(AssertionError, match="is no frozen dataclass"):
        promises.check_pass(Plain)


@pytest.mark.parametrize("how", ["item", "bool", "nonzero", "mask", "tolist", "numpy", "cpu", "unique"])
def test_every_way_to_wait_for_the_device_is_caught(how: str) -> None:
    with pytest.raises(AssertionError, match="reads tensor values on the host"):
        promises.check_no_host_synchronisation(Waits(how))


def test_sample_tokens_have_the_shapes_of_a_real_call() -> None:
    tokens = promises.sample_tokens(REGISTRY.get("fastv")(), Layout.image(4, 4), rows=2, width=8)
    row = tokens.signals[last_row()]
    assert tokens.features.shape == (2, 16, 8)
    assert row.shape == (2, 16)
    assert row.dtype == torch.float32
    assert torch.allclose(row.sum(-1), torch.ones(2))
