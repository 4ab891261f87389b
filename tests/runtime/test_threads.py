"""Models with different plans that run in threads side by side do not meet."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from family_cases import BY_NAME
from live_families import batch

from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.runtime import apply

PAIRS = (("llava", "qwen3_vl"), ("gemma3", "blip-2"), ("qwen2_audio", "llama4"), ("llava", "llava"))
TURNS = 4


def plans(name: str) -> tuple[Plan, Plan]:
    modality = BY_NAME[name].modality
    first = Plan.of(Placement("divprune", f"{modality}.projector.output", 0.5))
    return first, Plan.of(
        Placement("random", f"{modality}.projector.output", 0.75), Placement("fastv", "decoder.layers.2", 0.5)
    )


def answers(model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    with torch.no_grad():
        return model.generate(**inputs, max_new_tokens=5, do_sample=False, eos_token_id=None, suppress_tokens=[3, 4, 5])


def in_threads(*jobs: Callable[[], None]) -> None:
    """Run jobs at the same time; what one of them raises is raised here."""
    errors: list[BaseException] = []
    ready = threading.Barrier(len(jobs))

    def run(job: Callable[[], None]) -> None:
        try:
            ready.wait()
            job()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_two_models_with_two_plans(pair: tuple[str, str]) -> None:
    models = [BY_NAME[name].build() for name in pair]
    inputs = [batch(BY_NAME[name], rows=2, seed=seed)[0] for seed, name in enumerate(pair)]
    chosen = [plans(name)[number] for number, name in enumerate(pair)]
    alone = []
    for model, given, plan in zip(models, inputs, chosen, strict=True):
        with apply(model, plan) as handle:
            alone.append((answers(model, given), handle.selections))
    found: list[list[Any]] = [[], []]

    def job(number: int) -> Callable[[], None]:
        def run() -> None:
            for _ in range(TURNS):
                with apply(models[number], chosen[number]) as handle:
                    found[number].append((answers(models[number], inputs[number]), handle.selections))

        return run

    in_threads(job(0), job(1))
    for expected, results in zip(alone, found, strict=True):
        for tokens, kept in results:
            assert torch.equal(tokens, expected[0])
            assert all(torch.equal(kept[site], rows) for site, rows in expected[1].items())


@pytest.mark.parametrize("name", ["llava", "qwen3_vl", "blip-2"])
def test_one_model_under_one_plan_answers_two_threads(name: str) -> None:
    """Each thread has its own call; only what `handle` reports is of whichever call came last."""
    case = BY_NAME[name]
    model = case.build()
    inputs = [batch(case, rows=rows, seed=rows)[0] for rows in (1, 2)]
    found: list[list[torch.Tensor]] = [[], []]

    def logits(given: dict[str, torch.Tensor]) -> torch.Tensor:
        with torch.no_grad():
            return model(**given).logits

    with apply(model, Plan.of(Placement("random", f"{case.modality}.projector.output", 0.5))):
        alone = [logits(given) for given in inputs]
        in_threads(*(lambda n=n: found[n].extend(logits(inputs[n]) for _ in range(TURNS)) for n in (0, 1)))
    for expected, results in zip(alone, found, strict=True):
        assert all(torch.equal(expected, result) for result in results)
