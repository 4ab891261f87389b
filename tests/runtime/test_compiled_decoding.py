"""torch.compile under a plan: decoding steps run in graphs that are never made anew, and give the same logits."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import transformers as t
from tiny import batch, tiny_config, tiny_llava

from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.runtime import apply

SETTLED = 4
"""Steps after which nothing may be compiled: the first ones find out which sizes change."""

PLANS = {
    "projector": (Placement("uniform", "image.projector.output", 0.5),),
    "layer": (Placement("fastv", "decoder.layers.1", 0.5),),
    "cache": (Placement("snapkv", "decoder.cache", 0.5),),
    "evicting": (Placement("h2o", "decoder.cache", 0.5, {"scope": "all"}),),
}
STATIC = [(plan, "static") for plan in PLANS if plan not in ("cache", "evicting")]  # they refuse static caches
WAYS: list[tuple[str, str, str]] = [
    ("decoder", "dynamic", "projector"),
    ("decoder", "static", "layer"),
    ("decoder", "dynamic", "cache"),
    ("decoder", "dynamic", "evicting"),
    ("model", "dynamic", "layer"),
    ("model", "static", "projector"),
]


class CountingBackend:
    """Runs graphs as they are and counts how often one is run."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self, graph: torch.fx.GraphModule, examples: list[Any]) -> Callable[..., Any]:
        def run(*args: Any) -> Any:
            self.runs += 1
            return graph.forward(*args)

        return run


@pytest.fixture(autouse=True)
def fresh_compiler(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    torch._dynamo.reset()
    with monkeypatch.context() as patch:
        patch.setattr(logging.getLogger("torch.__trace"), "disabled", True)  # pytest would collect every traced step
        yield
    torch._dynamo.reset()


def small_llava() -> Any:
    """Two layers are enough, and compile in half the time."""
    config = tiny_config(decoder="llama")
    config.text_config.num_hidden_layers = 2
    torch.manual_seed(0)
    model = t.LlavaForConditionalGeneration._from_config(config, attn_implementation="sdpa").eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model


def make_cache(model: Any, kind: str) -> Any:
    config = model.config.get_text_config(decoder=True)
    return t.StaticCache(config=config, max_cache_len=80) if kind == "static" else t.DynamicCache(config=config)


def decode(
    model: Any, inputs: dict[str, torch.Tensor], cache: Any, *, steps: int = 8, settled: int | None = None
) -> Iterator[torch.Tensor]:
    """Last logits of the prompt and of each step; from step `settled` on a recompilation is an error.

    The prompt runs as it is, since only decoding steps are many and alike.
    """
    mask = inputs["attention_mask"]
    with torch.no_grad():
        with torch.compiler.set_stance("force_eager"):
            first = model(**inputs, past_key_values=cache, use_cache=True)
        yield first.logits[:, -1]
        for step in range(steps):
            mask = torch.cat([mask, mask.new_ones(2, 1)], dim=1)
            given = {"attention_mask": mask, "position_ids": mask.cumsum(dim=1)[:, -1:] - 1}
            strict = settled is not None and step >= settled
            with torch.compiler.set_stance("fail_on_recompile" if strict else "default"):
                word = torch.full((2, 1), 7 + step)
                yield model(word, **given, past_key_values=cache, use_cache=True).logits[:, -1]


def compile_part(model: Any, part: str, backend: Any) -> None:
    module = model if part == "model" else model.get_decoder()
    module.forward = torch.compile(module.forward, backend=backend)


@pytest.mark.slow
@pytest.mark.parametrize(("part", "kind", "plan"), WAYS)
def test_no_step_is_compiled_anew(part: str, kind: str, plan: str) -> None:
    model, inputs, backend = small_llava(), batch([(1, 4), (2, 6)]), CountingBackend()
    with apply(model, Plan.of(*PLANS[plan])):
        expected = list(decode(model, inputs, make_cache(model, kind)))
        compile_part(model, part, backend)
        graphs = []
        for found, wanted in zip(
            decode(model, inputs, make_cache(model, kind), settled=SETTLED), expected, strict=True
        ):
            graphs.append(backend.runs)
            backend.runs = 0
            assert (found - wanted).abs().max() < 1e-5
    if part == "decoder" and plan != "evicting":
        assert set(graphs[1 + SETTLED :]) == {1}  # one graph holds the whole decoder: no hook breaks it
    assert min(graphs[1:]) > 0


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
def test_inductor_agrees() -> None:
    model, inputs = small_llava(), batch([(1, 4), (2, 6)])
    with apply(model, Plan.of(*PLANS["projector"])):
        expected = list(decode(model, inputs, make_cache(model, "static"), steps=5))
        compile_part(model, "decoder", "inductor")
        steps = decode(model, inputs, make_cache(model, "static"), steps=5, settled=3)
        assert all((found - wanted).abs().max() < 1e-4 for found, wanted in zip(steps, expected, strict=True))


class HostReads(torch.utils._python_dispatch.TorchDispatchMode):
    """Counts how often a tensor's value is read on the host, where a GPU would be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.reads += function in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default)
        return function(*args, **(kwargs or {}))


def reads_of_steps(model: Any, inputs: dict[str, torch.Tensor], cache: Any) -> int:
    """Host reads of four decoding steps; the prompt may read, since rows that keep different counts are counted."""
    steps = decode(model, inputs, cache, steps=4)
    next(steps)
    with HostReads() as counter:
        assert len(list(steps)) == 4
    return counter.reads


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize(("plan", "kind"), [*((plan, "dynamic") for plan in PLANS), *STATIC])
def test_no_decoding_step_waits_for_the_device(plan: str, kind: str, padded: bool) -> None:
    """No more than the unmodified model, in which transformers looks once a step whether the 2-d mask is all ones."""
    model, inputs = tiny_llava(), batch([(1, 4), (2, 6)] if padded else [(1, 4), (1, 4)])
    unmodified = reads_of_steps(model, inputs, make_cache(model, kind))
    with apply(model, Plan.of(*PLANS[plan])):
        assert reads_of_steps(model, inputs, make_cache(model, kind)) <= unmodified


@pytest.mark.parametrize("plan", PLANS)
def test_without_a_mask_no_step_reads_anything(plan: str) -> None:
    model, inputs = tiny_llava(), batch([(1, 4)])
    del inputs["attention_mask"]
    with torch.no_grad(), apply(model, Plan.of(*PLANS[plan])):
        cache = model(**inputs, use_cache=True).past_key_values
        with HostReads() as counter:
            for step in range(4):
                model(torch.tensor([[7 + step]]), past_key_values=cache, use_cache=True)
    assert counter.reads == 0


def test_a_host_read_is_noticed() -> None:
    with HostReads() as counter:
        torch.ones(3).sum().item()
    assert counter.reads == 1
