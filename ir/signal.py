"""Signals: what a pass needs to read from the running model beside the tokens themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SignalKind = Literal["attention_row", "attention_column", "key", "embedding", "state"]
Whose = Literal["cls", "last", "text", "media", "all"]


@dataclass(frozen=True)
class Need:
    """One signal that a pass declares; the runtime taps exactly these and nothing else.

    Shapes: M media of N tokens each, T text tokens in the longest row, D the decoder's width. The text of a medium is
    what its row says after it, or all of the row's text where nothing follows; slots of T that hold none of it are 0.

    Attributes:
        signal: what is read. `attention_row`: softmax(q k^T) averaged over the heads, (M, N), or (M, T, N) for
            the rows of `text`; rows are normalised over all keys, of which the medium's are given. `attention_column`:
            the attention that each token receives, averaged over heads and queries, (M, N). `key`: attention keys,
            (M, N or T, heads, width of a head). `embedding`: what entered the decoder, (M, N or T, D); of a medium all
            of its tokens, also those dropped since. `state`: hidden states at the site, scaled as by the decoder's
            final norm, (M, N or T, D). All are float32 but keys, embeddings and states, which have the model's dtype.
        query: whose rows, keys or embeddings: `cls` (the encoder's [CLS] token), `last` (the last prompt token),
            `text`, `media` (as a row: that of the mean query over the tokens up to the medium's end), `all` queries.
        stage: `encoder` or `decoder`.
        layer: which layer's attention. In the encoder an index as in `hidden_states` selection (negative counts from
            the end, None is the layer whose output the projector takes); in the decoder an offset from the site
            (-1 is the layer just before it; 0 is the layer that comes next, whose q and k are computed in advance).
        rotary: False reads q and k as they are before the rotary embedding; only at offset 0 of the decoder.
        joint: True takes all heads as one wide head, q k^T / sqrt(heads * width).
        relative: what was computed last before a site inside the encoder, for passes placed there; N counts units of
            the site's stream, whose tokens' attention is summed and whose keys are averaged. A `state` is then what
            entered the last MLP before the site, (M, N, D) as the features are.
    """

    signal: SignalKind
    query: Whose
    stage: Literal["encoder", "decoder"]
    layer: int | None = None
    rotary: bool = True
    joint: bool = False
    relative: bool = False

    @property
    def of_text(self) -> bool:
        """Whether it has a slot for each text token."""
        return self.query == "text"

    @property
    def reads_text(self) -> bool:
        """Whether it depends on what the prompt says, so that the pass must be `query_aware`."""
        return self.query in ("last", "text") or (self.stage == "decoder" and self.query == "all")


def cls_row(layer: int | None = None, *, joint: bool = False) -> Need:
    """The row of [CLS] in an encoder layer; None is the layer whose output the projector takes."""
    return Need("attention_row", "cls", "encoder", layer, joint=joint)


def last_row(layer: int = -1) -> Need:
    """The row of the last prompt token in the decoder layer `layer` relative to the site; -1 is the layer before."""
    return Need("attention_row", "last", "decoder", layer)


def text_rows(layer: int = -1) -> Need:
    """The rows of the medium's text tokens in a decoder layer, (M, T, N)."""
    return Need("attention_row", "text", "decoder", layer)


def mean_query_row(layer: int = 0) -> Need:
    """The row of the mean query over the tokens up to the medium's end, before the rotary embedding, (M, N)."""
    return Need("attention_row", "media", "decoder", layer, rotary=False)


def received(stage: Literal["encoder", "decoder"], layer: int | None = None) -> Need:
    """The attention that each token receives in a layer, averaged over all queries, (M, N)."""
    return Need("attention_column", "all", stage, layer)


def encoder_key(layer: int | None = None) -> Need:
    """The media tokens' keys in an encoder layer, (M, N, heads, width)."""
    return Need("key", "media", "encoder", layer)


def decoder_key(layer: int = -1, *, of: Literal["media", "text"] = "media") -> Need:
    """Keys in a decoder layer, rotary embedding included, (M, N or T, heads, width)."""
    return Need("key", of, "decoder", layer)


def embedding(of: Literal["media", "text"]) -> Need:
    """What entered the decoder, (M, N or T, D)."""
    return Need("embedding", of, "decoder")


def state(of: Literal["media", "text"]) -> Need:
    """Hidden states at the site after the decoder's final norm, (M, N or T, D)."""
    return Need("state", of, "decoder", 0)


def latest_cls_row() -> Need:
    """The row of [CLS] in the attention that ran last before a site inside the encoder, (M, N)."""
    return Need("attention_row", "cls", "encoder", relative=True)


def latest_received() -> Need:
    """The attention received in the attention that ran last before a site inside the encoder, (M, N)."""
    return Need("attention_column", "all", "encoder", relative=True)


def latest_key() -> Need:
    """The keys of the attention that ran last before a site inside the encoder, (M, N, heads, width)."""
    return Need("key", "media", "encoder", relative=True)


def before_mlp() -> Need:
    """The states that entered the last MLP before a site inside the encoder, (M, N, D)."""
    return Need("state", "media", "encoder", relative=True)
