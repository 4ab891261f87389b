"""Placing passes in a traced graph: counts at every layer, and what cannot be placed."""

from __future__ import annotations

from itertools import pairwise

import pytest
from tiny import DEPTH, tiny_config

from foveate.common.errors import BadInput
from foveate.ir.graph import Graph, Placed
from foveate.ir.placement import Placement
from foveate.ir.tracing import trace

IMAGES, PATCHES, TEXT = 3, 16, 9
FULL = IMAGES * PATCHES + TEXT


@pytest.fixture(scope="module")
def graph() -> Graph:
    return trace(tiny_config(), f"image={IMAGES}x56x56,text={TEXT}", name="tiny")


def placed(site: str, tokens_in: int, tokens_out: int, method: str = "random") -> Placed:
    return Placed(Placement(method, site, 0.5), "image", tokens_in, tokens_out)


def test_sites_are_the_projector_and_every_layer_but_the_first(graph: Graph) -> None:
    layers = [f"decoder.layers.{k}" for k in range(1, DEPTH)]
    inside = [f"image.encoder.layers.{k}{half}" for k in (0, 1) for half in ("", ".mid")]  # layer 1 is projected
    encoder = [*inside, "image.encoder.output"]
    inputs, cache = ["image.input"], ["decoder.cache"]
    assert [str(site) for site in graph.sites()] == [*inputs, *encoder, "image.projector.output", *layers, *cache]
    assert graph.require_site("decoder.layers.2") in graph.sites()


NOT_OFFERED = ["decoder.layers.0", f"decoder.layers.{DEPTH}", "video.projector.output", "video.input"]


@pytest.mark.parametrize("site", NOT_OFFERED)
def test_a_site_that_is_not_offered_is_refused(graph: Graph, site: str) -> None:
    with pytest.raises(BadInput, match=f"unknown site for tiny '{site}'"):
        graph.require_site(site)
    with pytest.raises(BadInput, match="unknown site for tiny"):
        graph.place([placed(site, PATCHES, 4)])


def test_nothing_placed_changes_nothing(graph: Graph) -> None:
    assert graph.place([]) == graph
    assert graph.cached_tokens() == (FULL,) * DEPTH


def test_dropping_before_the_decoder_shortens_all_its_layers(graph: Graph) -> None:
    short = graph.place([placed("image.projector.output", PATCHES, 4)])
    # The model looks up and scatters embeddings at full length; compaction follows.
    assert short.decoder.tokens == (FULL, *(IMAGES * 4 + TEXT,) * (DEPTH + 1))
    assert short.cached_tokens() == (IMAGES * 4 + TEXT,) * DEPTH
    assert short.stage("image.encoder") == graph.stage("image.encoder")
    assert short.stage("image.projector") == graph.stage("image.projector")
    assert graph.decoder.tokens_in == FULL


@pytest.mark.parametrize(("site", "full"), [("layers.0", 1), ("layers.1", 2), ("layers.0.mid", 2), ("output", 5)])
def test_dropping_in_the_encoder_shortens_what_follows_up_to_the_end(graph: Graph, site: str, full: int) -> None:
    """[CLS] stays; the embeddings and the layers before the site, and its own up to the MLP, run on everything."""
    short = graph.place([placed(f"image.encoder.{site}", PATCHES, 4)])
    assert short.stage("image.encoder").tokens == (PATCHES + 1,) * full + (4 + 1,) * (5 - full)
    assert short.stage("image.projector").tokens == (4,)
    assert short.cached_tokens() == (IMAGES * 4 + TEXT,) * DEPTH


@pytest.mark.parametrize("layer", range(1, DEPTH))
def test_dropping_at_a_layer_shortens_it_and_those_after_it(graph: Graph, layer: int) -> None:
    short = graph.place([placed(f"decoder.layers.{layer}", PATCHES, 2)])
    after = IMAGES * 2 + TEXT
    assert short.cached_tokens() == (FULL,) * layer + (after,) * (DEPTH - layer)
    assert short.decoder.tokens_out == after  # the final norm runs on what is left
    assert short.decoder.tokens_in == FULL


def test_placements_compound_in_the_order_of_flow(graph: Graph) -> None:
    first, second, third = (
        placed("image.projector.output", PATCHES, 8),
        placed("decoder.layers.1", 8, 8),
        placed("decoder.layers.3", 8, 1),
    )
    for order in ([first, second, third], [third, first, second]):
        short = graph.place(order)
        counts = (IMAGES * 8 + TEXT,) * 3 + (IMAGES * 1 + TEXT,)
        assert short.cached_tokens() == counts
        assert short.placed == (first, second, third)
    assert graph.place([third_alone := placed("decoder.layers.3", PATCHES, 1)]).placed == (third_alone,)


def test_fewer_tokens_cost_fewer_flops_by_exactly_the_layers_after_the_site(graph: Graph) -> None:
    short = graph.place([placed("decoder.layers.2", PATCHES, 4)])
    after = IMAGES * 4 + TEXT
    expected = 0
    for index, layer in enumerate(graph.decoder.layers):
        tokens = FULL if index < graph.decoder.first + 2 else after
        expected += sum(op.flops(batch=1, tokens=tokens, context=tokens) for op in layer.ops)
    assert short.decoder.flops() == expected < graph.decoder.flops()


@pytest.mark.parametrize(
    "items",
    [
        [placed("image.projector.output", 15, 4)],
        [placed("image.projector.output", PATCHES, 17)],
        [placed("image.projector.output", PATCHES, -1)],
        [placed("image.projector.output", PATCHES, 8), placed("decoder.layers.2", PATCHES, 4)],
    ],
)
def test_counts_that_do_not_fit_are_refused(graph: Graph, items: list[Placed]) -> None:
    with pytest.raises(BadInput, match=r"tokens where \d+ arrive; resolve the plan anew for this workload"):
        graph.place(items)


def test_stages_by_name_and_as_a_networkx_graph(graph: Graph) -> None:
    flow = graph.networkx()
    names = ["image.encoder", "image.projector", "decoder", "head"]
    assert list(flow.nodes) == names
    assert list(flow.edges) == list(pairwise(names))
    assert flow.edges["image.projector", "decoder"]["stream"].count == IMAGES * PATCHES
    assert flow.edges["image.encoder", "image.projector"]["stream"].count == IMAGES * (PATCHES + 1)
    assert graph.media("image") == IMAGES
    assert graph.media("audio") == 0
    with pytest.raises(BadInput, match="unknown stage 'decode': did you mean 'decoder'"):
        graph.stage("decode")


def test_modalities_of_a_placement() -> None:
    both = ("image", "video")
    assert Placement("random", "image.projector.output", 0.5).modalities(both) == ("image",)
    assert Placement("random", "decoder.layers.1", 0.5).modalities(both) == both
    assert Placement("random", "decoder.layers.1", 0.5, modality=("video",)).modalities(both) == ("video",)
    with pytest.raises(BadInput, match=r"acts on audio, which is not there \(found: image\)"):
        Placement("random", "audio.projector.output", 0.5).modalities(["image"])
