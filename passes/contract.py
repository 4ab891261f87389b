"""The contract of compression as checks that any pass can be run through, a user's own included.

Each check takes a pass and raises AssertionError with one sentence where a promise is broken; `check_pass` runs all.
What they hold is written in docs/contract.md. They need no model and take well under a second.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..common.seeds import generator
from ..ir.layout import Layout, kept_count
from ..ir.op import OP_KINDS
from ..ir.signal import Need
from ..ir.site import KINDS, MODALITIES
from .adaptive import AdaptivePass
from .base import REDUNDANCIES, Compression, Pass, Tokens
from .cache_base import CachePass
from .cache_contract import CACHE_CHECKS
from .primitives.merge import merged

if TYPE_CHECKING:
    import torch

LAYOUTS = (
    Layout.image(6, 6),
    Layout.image(5, 7),
    Layout.image(1, 1),
    Layout(23),
    Layout(36, (3, 4, 3)),
)
KEEPS = (0.02, 0.25, 0.5, 0.77, 1.0)
_ROWS, _WIDTH = 3, 16
_TEXT, _HEADS, _HEAD_WIDTH = 5, 2, 4
_TEXTS = ("name", "source", "summary", "mechanism", "training")


def check_pass(cls: type[Pass], params: Mapping[str, Any] | None = None) -> None:
    """Run a pass, with `params` in place of its defaults, through every check.

    Raises:
        AssertionError: a promise is broken; the sentence says which, and where.

    Example:
        >>> from foveate.passes import REGISTRY
        >>> check_pass(REGISTRY.get("random"), {"seed": 7})
    """
    method = cls(**(params or {}))
    for check in checks_of(cls):
        check(method)


def checks_of(cls: type[Pass]) -> tuple[Callable[[Any], None], ...]:
    """The checks that a pass must hold: those of its kind, and the ones that all share."""
    shared = (check_attributes, check_parameters, check_ops)
    return (*shared, *CACHE_CHECKS) if issubclass(cls, CachePass) else CHECKS


def check_attributes(method: Pass) -> None:
    """It is a frozen dataclass whose class attributes say what it is, in the words of the catalogue."""
    frozen = getattr(getattr(method, "__dataclass_params__", None), "frozen", False)
    _require(frozen, method, "is no frozen dataclass; put @dataclass(frozen=True) on the class")
    for text in _TEXTS:
        _require(bool(getattr(method, text, "").strip()), method, f"has no {text}; set the class attribute")
    kebab = re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", method.name)
    _require(kebab is not None, method, f"is named {method.name!r}; write the name in kebab-case")
    for words, known in (("modalities", MODALITIES), ("sites", KINDS), ("consumes", REDUNDANCIES)):
        said = getattr(method, words)
        fits = isinstance(said, tuple) and set(said) <= set(known) and len(set(said)) == len(said)
        _require(fits, method, f"has {words} {said!r}; give a tuple of different words out of {', '.join(known)}")
    _require(bool(method.modalities and method.sites), method, "acts nowhere; give modalities and sites")


def check_parameters(method: Pass) -> None:
    """Every parameter has a default, and the defaults come back from a plan file as they were."""
    parameters = type(method).parameters()
    missing = [name for name, value in parameters.items() if value is dataclasses.MISSING]
    _require(not missing, method, f"has parameters without a plain default: {', '.join(missing)}")
    try:
        same = json.loads(json.dumps(parameters, allow_nan=False)) == parameters
    except (TypeError, ValueError):
        same = False
    _require(same, method, f"has parameters that no plan file can hold: {parameters!r}; use numbers, text and lists")


def check_counts(method: Pass) -> None:
    """`count` says from shapes alone how many tokens `compress` returns; a pure selection keeps floor(keep*N + 0.5)."""
    for layout, keep in _cases(method):
        target, found = method.count(layout, keep), _compress(method, layout, keep)
        place = f"at keep {keep:g} of {layout}"
        least = 0 if method.withdraws else 1
        fits = least <= target.count <= layout.count
        _require(fits, method, f"counts {target.count} {place}; keep {least} to all of them")
        shape = tuple(found.index.shape)
        _require(shape == (_ROWS, target.count), method, f"returned {shape} but counted {target.count} {place}")
        stays = (target.prefix, target.separators) == (layout.prefix, layout.separators)
        _require(stays, method, f"drops the prefix or separators {place}; both always stay")
        wanted = kept_count(layout.count, keep)
        if found.assign is None and getattr(method, "change", "") != "frames":  # whole frames stay whole
            _require(target.count == wanted, method, f"selects {target.count} instead of {wanted} {place}")


def check_indices(method: Pass) -> None:
    """Indices are int64, in range, and sorted without repeats in each row, also where all tokens are equal."""
    import torch

    for layout, keep in _cases(method):
        drawn = sample_tokens(method, layout)
        for tokens in (drawn, dataclasses.replace(drawn, features=torch.zeros_like(drawn.features))):
            index = method.compress(tokens, method.count(layout, keep)).index
            _require(index.dtype == torch.int64, method, f"returned {index.dtype} indices; return int64")
            inside = bool(((index >= 0) & (index < layout.count)).all())
            _require(inside, method, f"returned indices outside 0..{layout.count - 1} at keep {keep:g} of {layout}")
            sorted_once = bool((index.diff(dim=-1) > 0).all())
            _require(sorted_once, method, f"returned unsorted or repeated indices at keep {keep:g} of {layout}")


def check_batches(method: Pass) -> None:
    """Media that are compressed together come out as they do one by one."""
    import torch

    for layout, keep in _cases(method):
        tokens, target = sample_tokens(method, layout), method.count(layout, keep)
        together = method.compress(tokens, target)
        alone = [method.compress(_row(tokens, row), target) for row in range(_ROWS)]
        for part, whole in _parts(together).items():
            same = torch.equal(torch.cat([_parts(single)[part] for single in alone]), whole)
            _require(same, method, f"gives another {part} in a batch than alone, at keep {keep:g} of {layout}")
        singles = [merged(_row(tokens, row).features, alone[row]) for row in range(_ROWS)]
        close = torch.allclose(torch.cat(singles), merged(tokens.features, together), rtol=1e-4, atol=1e-5)
        _require(close, method, f"gives other features in a batch than alone, at keep {keep:g} of {layout}")


def check_dtypes(method: Pass) -> None:
    """Half-precision features give as many tokens, and merging gives their dtype back."""
    import torch

    for layout, keep in _cases(method):
        for dtype in (torch.float16, torch.bfloat16):
            tokens = sample_tokens(method, layout)
            tokens = dataclasses.replace(tokens, features=tokens.features.to(dtype))
            target = method.count(layout, keep)
            features = merged(tokens.features, method.compress(tokens, target))
            fits = features.dtype == dtype and tuple(features.shape) == (_ROWS, target.count, _WIDTH)
            _require(fits, method, f"turns {dtype} features into {features.dtype} of shape {tuple(features.shape)}")


def check_identity(method: Pass) -> None:
    """keep = 1 changes nothing, bit for bit."""
    import torch

    for layout in () if method.is_adaptive else _layouts(method):
        tokens, target = sample_tokens(method, layout), method.count(layout, 1.0)
        found = method.compress(tokens, target)
        everything = torch.arange(layout.count).expand(_ROWS, -1)
        _require(torch.equal(found.index, everything), method, f"does not keep every token at keep 1 of {layout}")
        same = torch.equal(merged(tokens.features, found), tokens.features)
        _require(same, method, f"changes features at keep 1 of {layout}")


def check_determinism(method: Pass) -> None:
    """The same tokens give the same answer, whatever torch's own generator holds; that and the tokens stay as is."""
    import torch

    for layout, keep in _cases(method):
        tokens, target = sample_tokens(method, layout), method.count(layout, keep)
        before = tokens.features.clone(), *(signal.clone() for signal in tokens.signals.values())
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            state, first = torch.get_rng_state(), _parts(method.compress(tokens, target))
            untouched = torch.equal(torch.get_rng_state(), state)
            torch.manual_seed(2)
            second = _parts(method.compress(tokens, target))
        same = first.keys() == second.keys() and all(torch.equal(first[part], second[part]) for part in first)
        _require(same and untouched, method, "draws from torch's own generator; seed one from tokens.seed")
        unchanged = all(map(torch.equal, before, (tokens.features, *tokens.signals.values())))
        _require(unchanged, method, "writes into the tokens that it was given; make new tensors")


def check_needs(method: Pass) -> None:
    """It reads exactly the signals that `needs` declares, says that it reads text, and stays where they can be read."""
    for layout in _layouts(method):
        needs, tokens = method.needs(layout), sample_tokens(method, layout, rows=1 if method.is_adaptive else _ROWS)
        reads = _Reads(method, tokens.signals)
        keep = 0.0 if method.withdraws else 0.5
        read = dataclasses.replace(tokens, signals=reads)
        if isinstance(method, AdaptivePass) and method.adaptive:
            method.published(read)
        else:
            method.compress(read, method.count(layout, keep))
        unread = set(needs) - reads.seen
        _require(not unread or layout.count == 1, method, f"declares {unread} but never reads it; each need costs time")
        aware = method.query_aware or not any(need.reads_text for need in needs)
        _require(aware, method, "reads the prompt's text: set query_aware")
        inside = any(need.stage == "decoder" and need.signal != "embedding" for need in needs)
        fits = not inside or method.sites == ("decoder.layer",)
        _require(fits, method, "reads inside the decoder: set sites to ('decoder.layer',)")


def check_no_host_synchronisation(method: Pass) -> None:
    """`compress` never waits for the device: no operation reads values, and it runs on tensors that have none."""
    import torch

    from .waiting import NoWaiting

    for layout, keep in _cases(method):
        drawn, target = sample_tokens(method, layout), method.count(layout, keep)
        signals = {need: signal.to("meta") for need, signal in drawn.signals.items()}
        tokens = Tokens(drawn.features.to("meta"), layout, signals)
        try:
            index = method.compress(tokens, target).index
            with NoWaiting():  # type: ignore[no-untyped-call]
                method.compress(drawn, target)
        except Exception as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            sentence = f"reads tensor values on the host, so every call would wait for the device: {reason}"
            raise AssertionError(_sentence(method, sentence)) from error
        there = index.device == torch.device("meta")
        _require(there, method, f"returned indices on {index.device}; make them on the features' device")


def check_merging(method: Pass) -> None:
    """Where tokens are merged, each representative is in its own group, and the mean of equal tokens is that token."""
    import torch

    for layout, keep in _cases(method):
        tokens, target = sample_tokens(method, layout), method.count(layout, keep)
        found = method.compress(tokens, target)
        if found.assign is None:
            continue
        shape, place = tuple(found.assign.shape), f"at keep {keep:g} of {layout}"
        _require(shape == (_ROWS, layout.count), method, f"returned assign of shape {shape} {place}")
        inside = bool(((found.assign >= -1) & (found.assign < target.count)).all())
        _require(inside, method, f"assigns tokens to groups outside -1..{target.count - 1} {place}")
        own = found.assign.gather(1, found.index)
        _require(torch.equal(own, torch.arange(target.count).expand_as(own)), method, f"moves a representative {place}")
        equal = tokens.features[:, :1].expand_as(tokens.features)
        means = merged(equal, found)
        close = found.combine is not None or torch.allclose(means, equal[:, : target.count], rtol=1e-5, atol=1e-6)
        _require(close, method, f"has group weights that do not make a mean {place}")


def check_threshold(method: Pass) -> None:
    """A published threshold leaves at least one token of each medium, sorted and in range, twice the same."""
    import torch

    if not isinstance(method, AdaptivePass):
        return
    adaptive = dataclasses.replace(method, adaptive=True)
    for layout in _layouts(method):
        tokens = sample_tokens(adaptive, layout, rows=1)
        found, again = adaptive.published(tokens), adaptive.published(tokens)
        same = all(torch.equal(part, _parts(again)[name]) for name, part in _parts(found).items())
        _require(same, method, f"leaves another number or others of {layout} a second time, with adaptive")
        index = found.index
        fits = index.dtype == torch.int64 and len(index) == 1 and 1 <= index.shape[1] <= layout.count
        _require(fits, method, f"returned {index.dtype} indices {tuple(index.shape)} of {layout}, with adaptive")
        ordered = bool((index.diff(dim=-1) > 0).all() and (index[0, 0] >= 0) and (index[0, -1] < layout.count))
        _require(ordered, method, f"returned indices that are unsorted or out of range of {layout}, with adaptive")
        shape = tuple(merged(tokens.features, found).shape)
        _require(shape == (1, index.shape[1], _WIDTH), method, f"makes features {shape} of {layout}, with adaptive")


def check_ops(method: Pass) -> None:
    """Its own cost is priced: at least one operation, none below zero, each with at least one launch."""
    for layout in _layouts(method):
        ops = method.ops(layout, _WIDTH)
        _require(bool(ops), method, "has no ops; even a selection costs launches")
        for op in ops:
            _require(op.kind in OP_KINDS, method, f"op {op.name!r} is of kind {op.kind!r}; use {', '.join(OP_KINDS)}")
            for batch, tokens, context in ((1, 1, 1), (1, 576, 1), (4, 576, 144), (2, 576, 576)):
                counts = {"batch": batch, "tokens": tokens, "context": context}
                work = (op.flops(**counts), op.elements(**counts), op.weights, op.convention_flops(**counts))
                _require(min(work) >= 0, method, f"op {op.name!r} costs less than nothing at {counts}")
                _require(max(work) > 0, method, f"op {op.name!r} does no work at {counts}")
                _require(op.launches(**counts) > 0, method, f"op {op.name!r} starts no kernel at {counts}")


CHECKS = (
    check_attributes,
    check_parameters,
    check_needs,
    check_counts,
    check_indices,
    check_batches,
    check_dtypes,
    check_identity,
    check_determinism,
    check_no_host_synchronisation,
    check_merging,
    check_threshold,
    check_ops,
)
"""Every check of a pass that compresses a stream of tokens, in the order in which `check_pass` runs them."""


def sample_tokens(method: Pass, layout: Layout, *, rows: int = _ROWS, width: int = _WIDTH, seed: int = 0) -> Tokens:
    """Normal features (rows, N, width) float32 and random signals of the shapes that `Need` states, drawn from `seed`.

    Media have up to five text tokens; every second one has fewer, its last slots being 0.
    """
    import torch

    draws = generator(seed)
    features = torch.randn(rows, layout.count, width, generator=draws)
    signals = {need: sample_signal(need, rows, layout.count, width, draws) for need in method.needs(layout)}
    return Tokens(features, layout, signals)


def sample_signal(need: Need, rows: int, count: int, width: int, draws: torch.Generator) -> torch.Tensor:
    """A random signal: attention rows that sum to 1, normal keys, embeddings and states."""
    import torch

    slots = _TEXT if need.of_text else count
    shape = {
        "attention_row": (rows, slots, count) if need.of_text else (rows, count),
        "attention_column": (rows, count),
        "key": (rows, slots, _HEADS, _HEAD_WIDTH),
    }.get(need.signal, (rows, slots, width))
    drawn = torch.randn(shape, generator=draws)
    drawn = drawn.softmax(-1) if need.signal.startswith("attention") else drawn
    if need.of_text:
        drawn[1::2, _TEXT - 2 :] = 0
    return drawn


class _Reads(Mapping[Need, "torch.Tensor"]):
    """Signals that remember which of them were read, and refuse the others."""

    def __init__(self, method: Pass, signals: Mapping[Need, torch.Tensor]) -> None:
        self.method, self.signals = method, signals
        self.seen: set[Need] = set()

    def __getitem__(self, need: Need) -> torch.Tensor:
        _require(need in self.signals, self.method, f"reads {need} without declaring it; return it from needs()")
        self.seen.add(need)
        return self.signals[need]

    def __iter__(self) -> Iterator[Need]:
        return iter(self.signals)

    def __len__(self) -> int:
        return len(self.signals)


def _layouts(method: Pass) -> Iterator[Layout]:
    """The layouts that the pass may meet: clips for those that take video, sequences unless it needs the grid."""
    for layout in LAYOUTS:
        frames = 1 if layout.grid is None else layout.grid[0]
        if (layout.grid or not method.needs_grid) and (frames == 1 or "video" in method.modalities):
            yield layout


def _cases(method: Pass) -> Iterator[tuple[Layout, float]]:
    if method.is_adaptive:  # how many tokens remain is not known from shapes; `check_threshold` holds what is promised
        return iter(())
    keeps = (0.0, 1.0) if method.withdraws else KEEPS
    return ((layout, keep) for layout in _layouts(method) for keep in keeps)


def _compress(method: Pass, layout: Layout, keep: float) -> Compression:
    return method.compress(sample_tokens(method, layout), method.count(layout, keep))


def _row(tokens: Tokens, row: int) -> Tokens:
    signals = {need: signal[row : row + 1] for need, signal in tokens.signals.items()}
    return dataclasses.replace(tokens, features=tokens.features[row : row + 1], signals=signals)


def _parts(found: Compression) -> dict[str, torch.Tensor]:
    parts = {"index": found.index, "assign": found.assign, "weight": found.weight}
    return {name: part for name, part in parts.items() if part is not None}


def _require(held: bool, method: Pass, sentence: str) -> None:
    if not held:
        raise AssertionError(_sentence(method, sentence))


def _sentence(method: Pass, sentence: str) -> str:
    return f"the pass {getattr(method, 'name', type(method).__name__)!r} {sentence}."
