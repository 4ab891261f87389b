"""Why passes are absent from the search: in the runtime's own words, for those that it really refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import foveate
from foveate.common.errors import BadInput
from foveate.ir.graph import Graph
from foveate.ir.placement import Placement
from foveate.passes import REGISTRY
from foveate.planner.explaining import left_out as module
from foveate.planner.explaining.left_out import left_out
from foveate.planner.search.space import Space
from foveate.runtime import resolve


@pytest.fixture(scope="module")
def without_class_token() -> Graph:
    """A LLaVA whose encoder has no [CLS] token."""
    from transformers import LlavaConfig, Qwen3Config, SiglipVisionConfig

    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision = SiglipVisionConfig(image_size=56, patch_size=14, **small)
    text = Qwen3Config(num_key_value_heads=2, head_dim=16, vocab_size=64, **small)
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_index=5, vision_feature_layer=-1)
    return foveate.trace(config, "image=1x56x56,text=8,new=5")


def test_a_pass_that_reads_what_the_encoder_lacks(without_class_token: Graph) -> None:
    found = left_out(Space.of(without_class_token))
    assert "no [CLS] token" in found["fastervlm"]
    assert not found["fastervlm"].endswith(".")
    assert "divprune" not in found


def test_the_runtime_refuses_everywhere_what_is_left_out(without_class_token: Graph) -> None:
    """Brute force over every site that the graph offers."""
    for name in left_out(Space.of(without_class_token)):
        for site in without_class_token.sites():
            keep = 0.0 if REGISTRY.get(name).withdraws else 0.5
            with pytest.raises(BadInput):
                resolve(without_class_token, (Placement(name, str(site), keep),))


def test_a_pass_without_a_site() -> None:
    graph = foveate.trace("whisper-tiny", "audio=30s")
    reason = left_out(Space.of(graph, ["fastv"]), ["fastv"])["fastv"]
    assert reason == "it acts at decoder.layer, and whisper-tiny offers no such site"


def test_only_what_was_asked_for_and_meets_the_workload_is_told(without_class_token: Graph) -> None:
    space = Space.of(without_class_token, ["divprune"])
    assert left_out(space, ["divprune"]) == {}
    assert left_out(space, ["divprune", "uniform-frames", "trim-padding"]) == {}


def test_a_live_model_may_refuse_what_its_graph_takes(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    space = replace(Space.of(foveate.trace(model, "image=1x56x56,text=8,new=5")), options={})
    assert left_out(space, ["divprune"], model=model) == {}

    def refuse(*_: Any) -> None:
        raise BadInput("placements[0]: this attention cannot take it.")

    monkeypatch.setattr(module, "apply", refuse)
    assert left_out(space, ["divprune"], model=model) == {"divprune": "this attention cannot take it"}
    assert left_out(space, ["divprune"]) == {}
