"""Signals: what a pass needs to read from the running model beside the tokens themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SignalKind = Literal["attention_row"]
RowQuery = Literal["cls", "last"]


@dataclass(frozen=True)
class Need:
    """One signal that a pass declares; the runtime taps exactly these and nothing else.

    Attributes:
        signal: `attention_row`: softmax(q k^T) of one query row, averaged over the heads, (B, tokens).
        query: whose row: `cls` (the encoder's [CLS] token) or `last` (the last prompt token in the decoder).
        stage: `encoder` or `decoder`.
        layer: which layer's attention. In the encoder an index as in `hidden_states` selection (negative counts from
            the end, None is the layer whose output the projector takes); in the decoder an offset from the site
            (-1 is the layer just before it).
    """

    signal: SignalKind
    query: RowQuery
    stage: Literal["encoder", "decoder"]
    layer: int | None = None


def cls_row(layer: int | None = None) -> Need:
    """The row of [CLS] in an encoder layer; None is the layer whose output the projector takes."""
    return Need("attention_row", "cls", "encoder", layer)


def last_row(layer: int = -1) -> Need:
    """The row of the last prompt token in the decoder layer `layer` relative to the site; -1 is the layer before."""
    return Need("attention_row", "last", "decoder", layer)
