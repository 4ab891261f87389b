"""A tiny random LLaVA, requests for it, a cost model that can be worked out by hand, and a judge that knows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch

import foveate
from foveate.cost_models import CostModel, DeviceProfile, Prediction, StageCost, load_profile
from foveate.ir.graph import Graph
from foveate.ir.plan import Plan
from foveate.planner.fidelity.fidelity import Fidelity
from foveate.planner.fidelity.samples import CalibrationSample
from foveate.planner.search.search import Search
from foveate.planner.search.solver import Solver
from foveate.planner.search.space import Space
from foveate.planner.studies.study import open_study
from foveate.testbed import checkpoint_path

IMAGE_TOKEN, END, PAD, SIDE = 5, 2, 0, 56

FEW = ("divprune", "fastervlm", "fastv")
"""Enough passes for a search to choose from, beside the baselines."""


@dataclass(frozen=True)
class TokenCost:
    """Every decoder layer costs `per_token` ms a token, everything else `fixed` ms."""

    per_token: float = 0.01
    fixed: float = 1.0

    def predict(self, graph: Graph) -> Prediction:
        work = sum(graph.cached_tokens())
        decoder, step = self.per_token * work, 0.1 + 1e-4 * work
        ttft = self.fixed + decoder
        return Prediction(
            ttft_ms=ttft,
            tpot_ms=step,
            latency_ms=ttft + (graph.workload.new_tokens - 1) * step,
            throughput_per_s=1e3 / ttft,
            memory_bytes=10_000 + 64 * work,
            kv_bytes=64 * work,
            stages=(
                StageCost("image.encoder", self.fixed, graph.layouts["image"].count),
                StageCost("decoder", decoder, graph.decoder.tokens[0]),
            ),
            compression_ms=0.0,
            interval=(ttft, ttft),
        )


@dataclass
class KnownJudge:
    """A value that is a known function of the placements: exp(-sum of harm * dropped part squared)."""

    harm: dict[str, float]
    calls: int = 0
    samples: int = 10
    harm_at: dict[str, float] = field(default_factory=dict)

    def judge(self, plan: Plan, *, give_up: Callable[[Fidelity], bool] | None = None) -> Fidelity | None:
        loss = sum(self._harm(p.method, p.site) * (1 - p.keep) ** 2 for p in plan.placements)
        value = math.exp(-loss)
        found = Fidelity(value, (value - 0.01, min(1.0, value + 0.01)), value, np.full(self.samples, value))
        if give_up is not None and give_up(found):
            return None
        self.calls += 1
        return found

    def _harm(self, method: str, site: str) -> float:
        depth = int(site.rsplit(".", 1)[1]) if site.startswith("decoder") else 0
        return self.harm_at.get(f"{method}@{site}", self.harm.get(method, 1.0) / (1 + depth))


def make_model(*, seed: int = 0, layers: int = 3) -> Any:
    from transformers import CLIPVisionConfig, LlavaConfig, LlavaForConditionalGeneration, Qwen3Config

    torch.manual_seed(seed)
    vision = CLIPVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=2, image_size=SIDE, patch_size=14
    )
    text = Qwen3Config(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=16,
        vocab_size=64,
        tie_word_embeddings=True,
    )
    model = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=vision,
            text_config=text,
            image_token_index=IMAGE_TOKEN,
            vision_feature_layer=-1,
            image_seq_length=16,
        )
    ).eval()
    with torch.no_grad():  # larger weights, or all answers would be alike and no plan could harm them
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(8)
    model.generation_config.eos_token_id = END
    model.generation_config.pad_token_id = PAD
    return model


def make_samples(count: int, *, seed: int = 0) -> list[CalibrationSample]:
    made = torch.Generator().manual_seed(seed)
    samples = []
    for _ in range(count):
        length = int(torch.randint(3, 8, (1,), generator=made))
        words = torch.randint(6, 64, (length,), generator=made)
        ids = torch.cat([torch.tensor([1]), torch.full((16,), IMAGE_TOKEN), words])[None]
        pixels = torch.randn(1, 3, SIDE, SIDE, generator=made)
        samples.append(
            CalibrationSample({"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": pixels})
        )
    return samples


@pytest.fixture(scope="session")
def model() -> Any:
    return make_model()


@pytest.fixture(scope="session")
def samples() -> list[CalibrationSample]:
    return make_samples(10)


@pytest.fixture(scope="session")
def graph() -> Graph:
    """Six decoder layers and 256 image tokens, traced from a configuration without weights."""
    from transformers import CLIPVisionConfig, LlavaConfig, Qwen3Config

    vision = CLIPVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, image_size=224, patch_size=14
    )
    text = Qwen3Config(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=6,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=16,
        vocab_size=64,
    )
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_index=IMAGE_TOKEN)
    return foveate.trace(config, "image=1x224x224,text=16,new=4")


@pytest.fixture
def token_cost() -> type[TokenCost]:
    return TokenCost


@pytest.fixture
def known_judge() -> type[KnownJudge]:
    return KnownJudge


@pytest.fixture(scope="session")
def testbed_graph() -> Graph:
    """The image testbed's configuration: large enough that a device profile's figures can be planned with."""
    return foveate.trace(checkpoint_path("image"), "image=1x224x224,text=16,new=4")


class RememberingCost(CostModel):
    """A real cost model that many tests ask about the same plans."""

    def __init__(self, profile: DeviceProfile) -> None:
        super().__init__(profile)
        self.known: dict[object, Prediction] = {}

    def predict(self, graph: Graph) -> Prediction:
        key = tuple(
            (item.placement.method, item.placement.site, item.tokens_in, item.tokens_out) for item in graph.placed
        )
        if key not in self.known:
            self.known[key] = super().predict(graph)
        return self.known[key]


@pytest.fixture(scope="session")
def real_cost() -> CostModel:
    return RememberingCost(load_profile("generic-cpu"))


@pytest.fixture
def make_search(testbed_graph: Graph, real_cost: CostModel) -> Callable[..., Search]:
    """A search on a real cost model with the known judge: milliseconds a trial."""

    def make(
        budgets: Sequence[foveate.ir.budget.Budget],
        *,
        seed: int = 0,
        place: str | None = None,
        harm: dict[str, float] | None = None,
        kind: str = "tpe",
    ) -> Search:
        solver = Solver(Space.of(testbed_graph, FEW), real_cost, budgets)
        study = open_study(place, question={"seed": seed}, kind=kind)
        return Search(solver, KnownJudge(harm or {}), study, seed=seed, kind=kind)

    return make
