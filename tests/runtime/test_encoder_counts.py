"""What plans are counted by: sites, tokens of each layer and prices agree with live runs of every family."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from encoder_cases import CASES, PACKED_IN_ROWS, POINTS, flow_of, plan
from live_families import AUDIO, TEXT, Case, batch
from transformers import LlamaConfig, VoxtralConfig, VoxtralEncoderConfig

from foveate.ir.placement import Placement
from foveate.ir.site import Site
from foveate.ir.tracing import trace
from foveate.ir.workload import Images, Video, Workload
from foveate.passes import create
from foveate.runtime import apply, resolve
from foveate.runtime.adapters import adapter_of

SEEN = [name for name, case in CASES.items() if case.modality != "audio"]  # sounds are traced in windows of 30 s


def workload(case: Case) -> Workload:
    """One picture of 56 x 56 pixels, as large as the towers of the tiny models, or a clip of six frames of it."""
    if case.modality == "video":
        return Workload(videos=(Video(6, 56, 56),), text_tokens=4, new_tokens=1)
    return Workload(images=(Images(1, 56, 56),), text_tokens=4, new_tokens=1)


@pytest.mark.parametrize("name", SEEN)
def test_the_graph_offers_what_the_adapter_offers(name: str) -> None:
    case = CASES[name]
    config = case.build().config
    graph = trace(config, workload(case))
    offered = [
        site for site in adapter_of(config).sites(config) if ".encoder." in site and site.startswith(case.modality)
    ]
    assert [str(site) for site in graph.sites() if ".encoder." in str(site)] == sorted(
        offered, key=lambda site: Site.parse(site).depth
    )


def live_counts(case: Case, model: Any, inputs: Any) -> tuple[list[int], int]:
    """Tokens that enter the MLP's end of each encoder layer over all media, and rows that the projector maps."""
    flow, layers, projected = flow_of(case, model), [], []

    def rows(states: torch.Tensor) -> int:
        return states.shape[:-1].numel()

    def enter(module: Any, args: Any, kwargs: Any) -> None:
        layers.append(rows(args[0] if args else next(iter(kwargs.values()))))

    def leave(module: Any, args: Any, output: Any) -> None:
        projected.append(rows(args[0]))

    # Ours come after the plan's own hooks, so they see what the modules themselves get.
    handles = [layer.register_forward_pre_hook(enter, with_kwargs=True) for layer in flow.layers]
    last = flow.mergers[-1] if flow.mergers else flow.projector
    handles += [] if last is None else [last.register_forward_hook(leave)]
    with torch.no_grad():
        model(**inputs)
    for handle in handles:
        handle.remove()
    return layers, projected[0] if projected else 0


@pytest.mark.parametrize(("name", "site"), [point for point in POINTS if point[0] in SEEN])
def test_counts_of_the_graph_are_those_of_a_live_run(name: str, site: str) -> None:
    """Each stage is scaled from the workload of the graph to the media of the call, which differ in size."""
    case = CASES[name]
    model = case.build()
    inputs, _ = batch(case, rows=1)
    plain, mapped = live_counts(case, model, inputs)
    with apply(model, plan(case, site)):
        short, kept = live_counts(case, model, inputs)
    graph = trace(model.config, workload(case))
    placed = resolve(graph, plan(case, site))
    before, after = graph.stage(f"{case.modality}.encoder"), placed.stage(f"{case.modality}.encoder")
    numbered = slice(before.first, before.first + before.depth)
    constant = before.tokens[before.first] % 4 if case.name.split("-")[0] not in PACKED_IN_ROWS else 0  # [CLS] stays
    rows = plain[0] // before.tokens[before.first] if constant else 0

    def share(tokens: float, whole: float) -> float:
        return (tokens - rows) / (whole - rows)

    live = [share(tokens, plain[0]) for tokens in short]
    counted = [(t - constant) / (before.tokens[before.first] - constant) for t in after.tokens[numbered]]
    assert live == pytest.approx(counted)
    projectors = graph.stage(f"{case.modality}.projector"), placed.stage(f"{case.modality}.projector")
    if mapped:
        assert kept / mapped == pytest.approx(projectors[1].tokens[-1] / projectors[0].tokens[-1])


def test_a_pass_in_the_encoder_is_priced_in_the_encoders_width() -> None:
    """Qwen's units are groups of four patches, of 32 channels each."""
    case = CASES["qwen2_vl"]
    config = case.build().config
    graph = trace(config, workload(case))
    site = "image.encoder.layers.1"
    item = resolve(graph, (Placement("norm", site, 0.5),)).placed[0]
    units = graph.layouts["image"]
    expected = create("norm").ops(units, 4 * 32)
    assert item.ops[: len(expected)] == expected
    assert (item.tokens_in, item.tokens_out) == (units.count, units.count // 2)


def test_sounds_in_chunks_are_counted_by_units_of_side_by_side_positions() -> None:
    """A chunk of 30 s has 1500 positions, four of which become one token; each chunk keeps its share."""
    tower = VoxtralEncoderConfig(hidden_size=16, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4)
    config = VoxtralConfig(audio_config=tower, text_config=LlamaConfig(**TEXT), audio_token_id=AUDIO)
    graph = trace(config, "audio=30s,text=4,new=1")
    offered = [site for site in adapter_of(config).sites(config) if ".encoder." in site]
    assert [str(site) for site in graph.sites() if ".encoder." in str(site)] == sorted(
        offered, key=lambda site: Site.parse(site).depth
    )
    short = resolve(graph, (Placement("random", "audio.encoder.layers.1", 0.2),))
    encoder = short.stage("audio.encoder")
    numbered = encoder.tokens[encoder.first : encoder.first + encoder.depth]
    assert numbered == (1500, 4 * 75)
    assert graph.decoder.tokens_in - short.decoder.tokens[-1] == 375 - 75
