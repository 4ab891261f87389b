"""What a pass leaves to the encoder is settled by the graph and by the live model alike, and said in the plan."""

from __future__ import annotations

import pytest
import torch
from tiny import batch, tiny_llava
from transformers import LlavaForConditionalGeneration, SiglipVisionConfig

import foveate
from foveate.common.errors import BadInput
from foveate.ir.graph import Graph
from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.planner import explain
from foveate.runtime import apply, resolve, resolved_plan

SITE = "image.projector.output"
WORKLOAD = "image=1x56x56,text=8,new=4"


def without_class_token() -> LlavaForConditionalGeneration:
    """The tiny LLaVA on a SigLIP tower of the same size."""
    config = tiny_llava().config
    clip = config.vision_config
    kept = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "image_size", "patch_size")
    config.vision_config = SiglipVisionConfig(**{name: getattr(clip, name) for name in kept}, vision_use_head=False)
    config.vision_feature_select_strategy = "full"
    torch.manual_seed(0)
    return LlavaForConditionalGeneration(config).eval()


@pytest.mark.parametrize(("make", "has"), [(tiny_llava, True), (without_class_token, False)])
def test_a_graph_knows_whether_its_encoder_has_a_class_token(make, has: bool) -> None:
    graph = foveate.trace(make(), workload=WORKLOAD)
    assert graph.stage("image.encoder").class_token is has
    assert graph.decoder.class_token is None
    assert Graph.from_data(graph.to_data()).stage("image.encoder").class_token is has


def test_visionzip_reads_the_mean_attention_where_there_is_no_class_token() -> None:
    model = without_class_token()
    graph, plan = foveate.trace(model, workload=WORKLOAD), Plan.of(Placement("visionzip", SITE, 0.5))
    found = resolved_plan(graph, plan).placements[0]
    assert found.params == {"reads": "mean"}
    assert "no [CLS] token" in str(found.note)
    assert (found.tokens_in, found.tokens_out) == (16, 8)
    written = Plan.of(found).to_yaml()
    assert "note: the encoder has no [CLS] token" in written
    assert Plan.from_yaml(written).placements == (found,)
    inputs = batch([(1, 5), (2, 4)])
    kept = []
    for placement in (plan.placements[0], found, Placement("visionzip", SITE, 0.5, {"reads": "mean"})):
        with torch.no_grad(), apply(model, Plan.of(placement)) as handle:
            model(**inputs)
            kept.append(handle.selections[SITE])
    assert torch.equal(kept[0], kept[1])
    assert torch.equal(kept[0], kept[2])


def test_visionzip_reads_the_class_token_where_there_is_one() -> None:
    model, plan = tiny_llava(), Plan.of(Placement("visionzip", SITE, 0.5))
    found = resolved_plan(foveate.trace(model, workload=WORKLOAD), plan).placements[0]
    assert found.params == {}
    assert found.note is None
    kept = []
    for params in ({}, {"reads": "cls"}):
        with torch.no_grad(), apply(model, Plan.of(Placement("visionzip", SITE, 0.5, params))) as handle:
            model(**batch([(1, 5)]))
            kept.append(handle.selections[SITE])
    assert torch.equal(*kept)


@pytest.mark.parametrize("method", ["fastervlm", "vispruner", "prumerge-plus"])
def test_methods_that_only_read_the_class_token_are_refused_without_weights_too(method: str) -> None:
    graph = foveate.trace(without_class_token(), workload=WORKLOAD)
    with pytest.raises(BadInput, match=r"the image encoder of .* has no \[CLS\] token"):
        resolve(graph, Plan.of(Placement(method, SITE, 0.5)))
    with pytest.raises(BadInput, match="has no \\[CLS\\] token"):
        resolve(graph, Plan.of(Placement("visionzip", SITE, 0.5, {"reads": "cls"})))


def test_a_plan_says_why(tmp_path) -> None:
    graph = foveate.trace(without_class_token(), workload=WORKLOAD)
    plan = resolved_plan(graph, Plan.of(Placement("visionzip", SITE, 0.5)))
    assert "The encoder has no [CLS] token, so the attention received from all tokens is read." in explain(plan)
    adaptive = Plan.of(Placement("prumerge-plus", SITE, 1.0, {"adaptive": True}))
    assert "Keeps what its threshold leaves, which follows from content; counts and costs here are" in explain(adaptive)
