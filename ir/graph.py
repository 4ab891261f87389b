"""The token flow of a model: stages of layers of operations, joined by streams of tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import networkx as nx

from ..common.errors import BadInput
from ..common.names import unknown
from .caching import caching_layers
from .encoder_sites import encoder_sites, require_encoder_sites
from .input_changes import input_changes
from .layout import Layout
from .op import Op
from .placement import Placement
from .site import Site
from .workload import Workload

Role = Literal["encoder", "projector", "decoder", "head"]
Mixing = Literal["pointwise", "group", "grid", "sequence"]

CROSS_ATTENTION = "cross_attention"
"""Name of the layer at the end of a media stage that computes the keys and values of the decoder's cross-attention."""


@dataclass(frozen=True)
class Layer:
    """One layer of a stage: a name and the operations that run in it."""

    name: str
    ops: tuple[Op, ...]


@dataclass(frozen=True)
class Stage:
    """A run of layers that keep one token stream.

    Attributes:
        name: `image.encoder`, `image.projector`, `decoder`, `head`.
        role: what it is in the flow.
        modality: the modality it belongs to, None for the decoder and the head.
        layers: its layers; embeddings and final norms are layers too, with `numbered` False sites.
        tokens: query tokens of one sequence that each layer processes, one count a layer.
        sequences: independent sequences of one request (the images of one prompt; 1 in the decoder).
        width: channels of its stream.
        parameters: parameter elements of the stage.
        mixing: how it mixes tokens; `pointwise` stages can be run on kept tokens alone.
        first: index in `layers` of layer 0 as sites number them (embeddings come before it).
        depth: how many numbered layers there are.
        key_value_width: channels of keys and values together that each numbered layer caches, 0 where it has none.
        selected: numbered layer whose output the next stage takes (encoders), else None.
        leaving: tokens of one sequence that leave it where that is not the last layer's count (mergers, pooling).
        active_parameters: those that one token uses, fewer than all in a mixture of experts; None where all are.
        class_token: whether an encoder has a [CLS] token; None where that is not known, and for other stages.
    """

    name: str
    role: Role
    modality: str | None
    layers: tuple[Layer, ...]
    tokens: tuple[int, ...]
    sequences: int
    width: int
    parameters: int
    mixing: Mixing
    first: int = 0
    depth: int = 0
    key_value_width: int = 0
    selected: int | None = None
    leaving: int | None = None
    active_parameters: int | None = None
    class_token: bool | None = None

    @property
    def tokens_in(self) -> int:
        """Tokens of one sequence that enter the stage."""
        return self.tokens[0]

    @property
    def tokens_out(self) -> int:
        """Tokens of one sequence that leave the stage."""
        return self.tokens[-1] if self.leaving is None else self.leaving

    def ops(self) -> Iterator[tuple[int, Op]]:
        """(tokens, op) over all layers."""
        for tokens, layer in zip(self.tokens, self.layers, strict=True):
            for op in layer.ops:
                yield tokens, op

    def flops(self, *, batch: int = 1, convention: bool = False) -> int:
        """FLOPs of one prefill of the stage over `batch` requests, attention of every token over all of them."""
        count = batch * self.sequences
        polynomials = ((t, op.convention_flops if convention else op.flops) for t, op in self.ops())
        return int(sum(p(batch=count, tokens=t, context=t) for t, p in polynomials))


@dataclass(frozen=True)
class TokenStream:
    """The tokens that flow from one stage to the next: `sequences` sequences of `layout`, `width` channels each."""

    source: str
    target: str
    sequences: int
    width: int
    layout: Layout

    @property
    def count(self) -> int:
        """Tokens of one request."""
        return self.sequences * self.layout.total


@dataclass(frozen=True)
class Placed:
    """A placement resolved against a graph: its counts for each medium of one modality, and what it costs.

    `ops` are polynomials with `tokens` = tokens_in, `context` = tokens_out and `batch` = media over all requests;
    `query_aware` says that the pass chooses by the question, so that a later turn must choose again; `frames` of a
    medium arrive and go on; `evicted` tokens of one request leave the cache of each numbered decoder layer.
    """

    placement: Placement
    modality: str
    tokens_in: int
    tokens_out: int
    ops: tuple[Op, ...] = ()
    query_aware: bool = False
    frames: tuple[int, int] = (1, 1)
    evicted: tuple[int, ...] = ()


@dataclass(frozen=True)
class Graph:
    """The stages of one model under one workload, with the placements made so far.

    Attributes:
        model: name of the model. model_type: its transformers type. fingerprint: sha256 of its configuration.
        workload: the request that the counts are for.
        stages: in order of execution. streams: the edges between them.
        layouts: layout of one medium per modality as it leaves the projector, uncompressed.
        mixed: layouts of all media, in order, of each modality whose media are laid out differently; such a modality
            is not in `layouts`, and no plan can name its tokens yet.
        placed: what was placed in this graph, in order of flow.
        idle_parameters: parameters that no stage of this workload holds: towers of modalities that it lacks.
    """

    model: str
    model_type: str
    fingerprint: str
    workload: Workload
    stages: tuple[Stage, ...]
    streams: tuple[TokenStream, ...]
    layouts: dict[str, Layout] = field(default_factory=dict)
    placed: tuple[Placed, ...] = ()
    idle_parameters: int = 0
    mixed: dict[str, tuple[Layout, ...]] = field(default_factory=dict)

    def stage(self, name: str) -> Stage:
        """The stage called `name`.

        Raises:
            BadInput: there is none; the nearest name is offered.
        """
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise unknown("stage", name, [stage.name for stage in self.stages])

    @property
    def decoder(self) -> Stage:
        """The decoder stage."""
        return self.stage("decoder")

    @property
    def parameters(self) -> int:
        """Parameter elements of the whole model, idle ones included."""
        return sum(stage.parameters for stage in self.stages) + self.idle_parameters

    def media(self, modality: str) -> int:
        """How many images, clips or sounds of `modality` one request carries."""
        return sum(s.sequences for s in self.streams if s.target == "decoder" and s.source.startswith(f"{modality}."))

    def sites(self) -> tuple[Site, ...]:
        """Every site at which this model can be compressed, in order of flow."""
        inside = tuple(m for m in self.layouts if self.in_sequence(m))
        found = [Site("input", modality) for modality in self.layouts if input_changes(self.model_type, modality)]
        for modality in self.layouts:
            found += self._offered_in_encoder(modality)
        found += [Site("projector.output", modality) for modality in inside]
        text_alone = not self.layouts and not self.mixed
        found += [Site("decoder.layer", None, k) for k in range(1, self.decoder.depth) if inside or text_alone]
        found += [Site("decoder.cache")] if inside and caching_layers(self) else []
        return tuple(sorted(found, key=lambda site: site.depth))

    def possible_sites(self) -> tuple[Site, ...]:
        """Every site that the structure allows, in order of flow, whether or not plans can be applied there yet.

        Tokens can leave before the encoder, before or inside a layer of it, after it, after the projector, before a
        decoder layer whose sequence holds them, and from the cache.
        """
        found = set(self.sites())
        for modality in (*self.layouts, *self.mixed):
            found |= {Site("input", modality), *self._encoder_sites(modality)}
            if self.in_sequence(modality):
                found.add(Site("projector.output", modality))
        if self.decoder.key_value_width:
            found.add(Site("decoder.cache"))
        return tuple(sorted(found, key=lambda site: (site.depth, str(site))))

    def _offered_in_encoder(self, modality: str) -> list[Site]:
        encoder = next((s for s in self.stages if s.name == f"{modality}.encoder"), None)
        if encoder is None:
            return []
        return encoder_sites(
            self.model_type, modality, encoder.depth - 1 if encoder.selected is None else encoder.selected
        )

    def _encoder_sites(self, modality: str) -> set[Site]:
        encoder = next((s for s in self.stages if s.name == f"{modality}.encoder"), None)
        if encoder is None:
            return set()
        found = {Site("encoder.output", modality)}
        for k, layer in enumerate(encoder.layers[encoder.first : encoder.first + encoder.depth]):
            if any(op.kind == "attention" for op in layer.ops):
                found |= {Site("encoder.layer.mid", modality, k)} | (
                    {Site("encoder.layer", modality, k)} if k else set()
                )
        return found

    def in_sequence(self, modality: str) -> bool:
        """Whether the tokens of a modality stand in the decoder's own sequence; under cross-attention they do not."""
        media = self.media(modality)
        one = (self.layouts[modality],) * media if modality in self.layouts else self.mixed.get(modality, ())
        return media > 0 and len(one) == media and self.decoder.tokens_in >= sum(layout.total for layout in one)

    def require_one_size(self) -> None:
        """Refuse a request whose media of one modality are laid out differently, for what plans counts per medium.

        Raises:
            BadInput: the workload mixes sizes.
        """
        for modality in self.mixed:
            raise BadInput(
                f"the workload mixes {modality} sizes that {self.model} lays out differently, and a plan has one count "
                "for each; plan for one size"
            )

    def require_site(self, text: str) -> Site:
        """The site that `text` names, if this graph offers it.

        Raises:
            BadInput: it is no site, or not one of this model's.
        """
        site = Site.parse(text)
        self.require_one_size()
        if site not in self.sites():
            require_encoder_sites(self.model_type, site)
            offered = [str(s) for s in self.sites()]
            raise unknown(f"site for {self.model}", text, offered)
        return site

    def place(self, placed: Sequence[Placed]) -> Graph:
        """A new graph with `placed` made, in order of flow, and the decoder's counts propagated; nothing is run.

        Raises:
            BadInput: a site is not offered, or a placement's counts do not fit what arrives.
        """
        from .placing import place

        return place(self, placed)

    def cached_tokens(self) -> tuple[int, ...]:
        """Tokens that each numbered decoder layer holds in its cache after the prefill, per request row."""
        decoder = self.decoder
        held = decoder.tokens[decoder.first : decoder.first + decoder.depth]
        for item in self.placed:
            if item.evicted:
                held = tuple(there - gone for there, gone in zip(held, item.evicted, strict=True))
        return held

    def to_data(self) -> dict[str, Any]:
        """The graph as plain data; `from_data` gives an equal graph back."""
        from .graph_data import to_data

        return to_data(self)

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Graph:
        """The graph that `to_data` wrote; raises BadInput where the data is not of one."""
        from .graph_data import from_data

        return from_data(data)

    def networkx(self) -> nx.DiGraph[str]:
        """The flow as a `networkx.DiGraph`: nodes carry `stage`, edges `streams`, the last of them as `stream`."""
        graph: nx.DiGraph[str] = nx.DiGraph(model=self.model, model_type=self.model_type)
        for stage in self.stages:
            graph.add_node(stage.name, stage=stage)
        for stream in self.streams:
            known = (graph.get_edge_data(stream.source, stream.target) or {}).get("streams", ())
            graph.add_edge(stream.source, stream.target, stream=stream, streams=(*known, stream))
        return graph
