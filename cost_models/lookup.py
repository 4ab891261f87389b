"""Look-up tables of layer costs by token count, so that many plans cost an index each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..ir.graph import Graph, Stage
from . import flow
from .latency import Pricer

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Lookup:
    """Costs of equal layers of one stage, float64 arrays indexed by token count.

    Attributes:
        stage: the stage. columns: of its layers in the table's counts.
        prefill, decode: device ms of one of the layers; decode is None where the stage does not decode.
        activation: bytes alive at the layer's largest op.
    """

    stage: Stage
    columns: IntArray
    prefill: FloatArray
    decode: FloatArray | None
    activation: FloatArray


def lookups(pricer: Pricer, graph: Graph, stage: Stage, start: int) -> Iterator[Lookup]:
    """One look-up for each group of equal layers of `stage`, whose first layer has column `start`."""
    work = graph.workload
    sequences, rows = stage.sequences * work.batch, work.batch * work.concurrency
    for group in flow.layer_groups(stage):
        members = np.array(group.members)
        counts = np.arange(np.array(stage.tokens)[members].max() + 1)
        run = np.ones_like(counts) if stage.role == "head" else counts
        prefill = flow.prefill_ms(pricer, group.ops, run, sequences=sequences)
        alive = flow.activation_bytes(pricer, group.ops, run, sequences=sequences, width=stage.width)
        decode = flow.decode_ms(pricer, group.ops, counts, rows=rows, new_tokens=work.new_tokens)
        yield Lookup(stage, start + members, prefill, decode if flow.decodes(stage) else None, alive)
