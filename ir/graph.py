"""The token flow of a model: stages of layers of operations, joined by streams of tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import networkx as nx

from ..common.errors import BadInput
from ..common.names import unknown
from .layout import Layout
from .op import Op
from .placement import Placement
from .site import Site
from .workload import Workload

Role = Literal["encoder", "projector", "decoder", "head"]
Mixing = Literal["pointwise", "group", "grid", "sequence"]


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

    `ops` are polynomials with `tokens` = tokens_in, `context` = tokens_out and `batch` = media over all requests.
    """

    placement: Placement
    modality: str
    tokens_in: int
    tokens_out: int
    ops: tuple[Op, ...] = ()


@dataclass(frozen=True)
class Graph:
    """The stages of one model under one workload, with the placements made so far.

    Attributes:
        model: name of the model. model_type: its transformers type. fingerprint: sha256 of its configuration.
        workload: the request that the counts are for.
        stages: in order of execution. streams: the edges between them.
        layouts: layout of one medium per modality as it leaves the projector, uncompressed.
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
        found = [Site("projector.output", modality) for modality in inside]
        found += [Site("decoder.layer", None, k) for k in range(1, self.decoder.depth) if inside or not self.layouts]
        return tuple(sorted(found, key=lambda site: site.depth))

    def possible_sites(self) -> tuple[Site, ...]:
        """Every site that the structure allows, in order of flow, whether or not plans can be applied there yet.

        Tokens can leave before the encoder, before or inside a layer of it, after it, after the projector, before a
        decoder layer whose sequence holds them, and from the cache.
        """
        found = set(self.sites())
        for modality in self.layouts:
            found |= {Site("input", modality), *self._encoder_sites(modality)}
            if self.in_sequence(modality):
                found.add(Site("projector.output", modality))
        if self.decoder.key_value_width:
            found.add(Site("decoder.cache"))
        return tuple(sorted(found, key=lambda site: (site.depth, str(site))))

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
        layout, media = self.layouts.get(modality), self.media(modality)
        return layout is not None and media > 0 and self.decoder.tokens_in >= media * layout.total

    def require_site(self, text: str) -> Site:
        """The site that `text` names, if this graph offers it.

        Raises:
            BadInput: it is no site, or not one of this model's.
        """
        site = Site.parse(text)
        if site not in self.sites():
            offered = [str(s) for s in self.sites()]
            raise unknown(f"site for {self.model}", text, offered)
        return site

    def place(self, placed: Sequence[Placed]) -> Graph:
        """A new graph with `placed` made, in order of flow, and the decoder's counts propagated; nothing is run.

        Raises:
            BadInput: a site is not offered, or a placement's counts do not fit what arrives.
        """
        if self.placed:
            raise BadInput("this graph has placements already; place all of them at once on the graph as it was traced")
        graph = self
        arriving = {modality: layout.count for modality, layout in self.layouts.items()}
        for item in sorted(placed, key=lambda p: Site.parse(p.placement.site).depth):
            if item.tokens_in != arriving[item.modality] or not 0 <= item.tokens_out <= item.tokens_in:
                counts = f"{item.tokens_in} to {item.tokens_out} tokens where {arriving[item.modality]} arrive"
                raise BadInput(f"{item.placement.label()}: {counts}; resolve the plan anew for this workload")
            arriving[item.modality] = item.tokens_out
            graph = graph._with(item)
        return graph

    def _with(self, item: Placed) -> Graph:
        site = self.require_site(item.placement.site)
        removed = (item.tokens_in - item.tokens_out) * self.media(item.modality)
        decoder = self.decoder
        start = decoder.first + (site.layer or 0)
        tokens = tuple(t - removed if i >= start else t for i, t in enumerate(decoder.tokens))
        stages = tuple(replace(s, tokens=tokens) if s.name == "decoder" else s for s in self.stages)
        return replace(self, stages=stages, placed=(*self.placed, item))

    def cached_tokens(self) -> tuple[int, ...]:
        """Tokens that each numbered decoder layer holds in its cache after the prefill, per request row."""
        decoder = self.decoder
        return decoder.tokens[decoder.first : decoder.first + decoder.depth]

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
        """The flow as a `networkx.DiGraph`: nodes carry `stage`, edges carry `stream`."""
        graph: nx.DiGraph[str] = nx.DiGraph(model=self.model, model_type=self.model_type)
        for stage in self.stages:
            graph.add_node(stage.name, stage=stage)
        for stream in self.streams:
            graph.add_edge(stream.source, stream.target, stream=stream)
        return graph
