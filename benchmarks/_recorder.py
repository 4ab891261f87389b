"""A pass that keeps every token and remembers what it was shown, so that many methods can be tried on one encoding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

from foveate.ir.layout import Layout
from foveate.ir.op import Op
from foveate.ir.signal import Need
from foveate.passes import Compression, Pass, Tokens, register
from foveate.passes.score import top_k_ops


@register
@dataclass(frozen=True)
class Recorder(Pass):
    """Shown the signals that `listening` asks for; keeps everything."""

    name = "recorder"
    source = "benchmarks"
    summary = "keeps every token and remembers what it was shown"
    mechanism = "transformation"

    wanted: ClassVar[tuple[Need, ...]] = ()
    heard: ClassVar[list[Tokens]] = []

    def needs(self, layout: Layout) -> tuple[Need, ...]:
        """What is listened for."""
        return self.wanted

    def ops(self, layout: Layout, width: int) -> tuple[Op, ...]:
        """Never priced."""
        return top_k_ops()

    def compress(self, tokens: Tokens, target: Layout) -> Compression:
        """Every token."""
        import torch

        self.heard.append(tokens)
        rows, count = tokens.features.shape[:2]
        return Compression(torch.arange(count, device=tokens.features.device).expand(rows, -1))


@contextmanager
def listening(methods: Sequence[Pass], layout: Layout) -> Iterator[list[Tokens]]:
    """Remember what the recorder is shown, with every signal that one of `methods` needs."""
    Recorder.wanted = tuple(dict.fromkeys(need for method in methods for need in method.needs(layout)))
    Recorder.heard = []
    try:
        yield Recorder.heard
    finally:
        Recorder.wanted, Recorder.heard = (), []
