"""The promises around a plan: keep = 1 changes nothing, removal restores everything, calls are independent."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest
import torch
from tiny import batch, tiny_config, tiny_llava

from foveate.common.errors import BadInput
from foveate.ir.fingerprint import fingerprint
from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.ir.plan_schema import ModelRecord
from foveate.ir.site import Site
from foveate.passes import REGISTRY
from foveate.runtime import apply

SITES = ["image.projector.output", "decoder.layers.2"]
CELLS = [
    (name, site) for name in REGISTRY.names() for site in SITES if Site.parse(site).kind in REGISTRY.get(name).sites
]


def plan_of(method: str, site: str, keep: float = 0.25) -> Plan:
    keep = 0.0 if REGISTRY.get(method).withdraws and keep < 1 else keep
    return Plan.of(Placement(method, site, keep))


def greedy(model, inputs, tokens=32, **options):
    with torch.no_grad():
        return model.generate(**inputs, max_new_tokens=tokens, do_sample=False, eos_token_id=None, **options)


def state_of(model):
    """Everything a plan could leave behind: hooks, attributes and configs of every module."""
    with torch.no_grad():
        model(**batch([(1, 2)]))  # transformers installs hooks of its own at the first call
    return [
        (
            name,
            type(module),
            sorted(k for k in vars(module) if not k.startswith("_")),
            id(getattr(module, "config", None)),
            len(module._forward_pre_hooks),
            len(module._forward_hooks),
        )
        for name, module in model.named_modules()
    ]


@pytest.mark.parametrize("forced", [False, True])
@pytest.mark.parametrize(("method", "site"), CELLS)
def test_keeping_everything_is_bit_identical(method, site, forced):
    model, inputs = tiny_llava(), batch([(1, 4), (2, 6)])
    with torch.no_grad():
        logits = model(**inputs).logits
    tokens = greedy(model, inputs)
    with apply(model, plan_of(method, site, 1.0), force_compaction=forced), torch.no_grad():
        assert torch.equal(model(**inputs).logits, logits)
        assert torch.equal(greedy(model, inputs), tokens)


@pytest.mark.parametrize(("method", "site"), CELLS)
def test_calls_carry_nothing_over_and_removal_restores(method, site):
    model = tiny_llava()
    before, first, other = state_of(model), batch([(1, 4)]), batch([(2, 7)], seed=5)
    with torch.no_grad():
        plain = model(**first).logits
        with apply(model, plan_of(method, site)):
            one = model(**first).logits
            model(**other)
            assert torch.equal(model(**first).logits, one)
        assert one.shape[1] == plain.shape[1] - (16 if REGISTRY.get(method).withdraws else 12)
        assert torch.equal(model(**first).logits, plain)
    assert state_of(model) == before


@pytest.mark.parametrize(("method", "site"), CELLS)
def test_a_batch_equals_its_rows_one_by_one(method, site):
    model, rows = tiny_llava(), [(1, 4), (2, 6), (1, 9)]
    together = batch(rows)
    with apply(model, plan_of(method, site)) as handle:
        tokens = greedy(model, together, 6)
        kept, image = handle.selections[site], 0
        for row, (images, _) in enumerate(rows):
            real = together["attention_mask"][row].bool()
            alone = {
                "input_ids": together["input_ids"][row : row + 1, real],
                "attention_mask": together["attention_mask"][row : row + 1, real],
                "pixel_values": together["pixel_values"][image : image + images],
            }
            single = greedy(model, alone, 6)
            assert torch.equal(handle.selections[site], kept[image : image + images])
            assert torch.equal(single[0, -6:], tokens[row, -6:])
            image += images


def test_an_exception_inside_the_model_leaves_it_as_it_was():
    model, inputs = tiny_llava(), batch([(1, 4)])
    before = state_of(model)
    with torch.no_grad():
        plain = model(**inputs).logits

    def fail(*_):
        raise RuntimeError("planted")

    planted = model.get_decoder().layers[3].register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="planted"), apply(model, plan_of("fastv", "decoder.layers.2")):
        model(**inputs)
    planted.remove()
    assert state_of(model) == before
    with torch.no_grad():
        assert torch.equal(model(**inputs).logits, plain)


def test_after_a_failed_call_the_next_call_under_the_plan_is_right():
    model, inputs = tiny_llava(), batch([(1, 4)])
    with torch.no_grad(), apply(model, plan_of("fastv", "decoder.layers.2")):
        good = model(**inputs).logits
        with pytest.raises(ValueError, match="image size"):
            model(**{**inputs, "pixel_values": torch.randn(1, 3, 20, 20)})
        assert torch.equal(model(**inputs).logits, good)


def test_a_model_under_a_plan_can_be_collected():
    model = tiny_llava()
    apply(model, plan_of("fastervlm", "image.projector.output"))
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def test_two_models_in_two_threads_do_not_meet():
    inputs, results, errors = batch([(1, 4)]), {}, []
    plans = {"a": plan_of("random", "image.projector.output", 0.25), "b": plan_of("fastv", "decoder.layers.1", 0.5)}
    models = {name: tiny_llava(seed=seed) for seed, name in enumerate(plans)}

    def run(name: str, times: int) -> None:
        try:
            with torch.no_grad(), apply(models[name], plans[name]):
                results.setdefault(name, []).extend(models[name](**inputs).logits for _ in range(times))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(name, 10)) for name in plans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    for name, model in models.items():
        with torch.no_grad(), apply(model, plans[name]):
            alone = model(**inputs).logits
        assert all(torch.equal(logits, alone) for logits in results[name])


def test_a_second_plan_is_refused_until_the_first_is_removed():
    model = tiny_llava()
    handle = apply(model, plan_of("random", "image.projector.output"))
    with pytest.raises(BadInput, match="already applied"):
        apply(model, plan_of("uniform", "image.projector.output"))
    handle.remove()
    handle.remove()
    apply(model, plan_of("uniform", "image.projector.output")).remove()


@pytest.mark.parametrize(
    ("placement", "message"),
    [
        (Placement("fastvlm", "image.projector.output", 0.5), "did you mean 'fastervlm'"),
        (Placement("random", "image.projector.output", 0.5, {"sed": 1}), "did you mean 'seed'"),
        (Placement("random", "image.projector.output", 0.5, {"seed": "x"}), "must be a int"),
        (Placement("random", "decoder.layers.9", 0.5), "site in placements"),
        (Placement("random", "audio.projector.output", 0.5), "audio"),
        (Placement("random", "decoder.layers.1", 0.5, modality=("video",)), "video"),
        (Placement("random", "nowhere", 0.5), "unknown site"),
        (Placement("random", "decoder.layers.1", 0.0), "keep is 0"),
        (Placement("random", "decoder.layers.1", 1.5), "keep is 1.5"),
        (Placement("fastv", "image.projector.output", 0.5), "acts at decoder.layer"),
        (Placement("fastervlm", "image.projector.output", 0.5, {"layer": 9}), "reads layer"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_is_touched(placement, message):
    model = tiny_llava()
    before = state_of(model)
    with pytest.raises(BadInput, match=message):
        apply(model, Plan.of(placement))
    assert state_of(model) == before


def test_a_plan_for_another_model_is_refused():
    other = ModelRecord(name="other", type="llava", fingerprint=fingerprint(tiny_config(image_size=28)))
    plan = Plan((Placement("random", "image.projector.output", 0.5),), model=other)
    with pytest.raises(BadInput, match="the plan is for other"):
        apply(tiny_llava(), plan)


def test_labels_and_foreign_caches_are_refused():
    from transformers.cache_utils import DynamicCache, DynamicLayer

    class ForeignLayer(DynamicLayer):
        """A layer that may hold its tokens in any way."""

    model, inputs = tiny_llava(), batch([(1, 4)])
    with apply(model, plan_of("random", "image.projector.output")):
        with pytest.raises(BadInput, match="labels"):
            model(**inputs, labels=inputs["input_ids"])
        cache = DynamicCache(config=model.config)
        cache.layers = [ForeignLayer() for _ in cache.layers]
        with pytest.raises(BadInput, match="ForeignLayer; use DynamicCache"):
            model(**inputs, past_key_values=cache, use_cache=True)


def test_the_cache_shrinks_by_exactly_the_tokens_dropped():
    model, inputs = tiny_llava(), batch([(2, 5)])
    plan = Plan.of(Placement("random", "image.projector.output", 0.5), Placement("fastv", "decoder.layers.2", 0.5))
    length = inputs["input_ids"].shape[1]
    with torch.no_grad(), apply(model, plan):
        cache = model(**inputs, use_cache=True).past_key_values
    assert [layer.keys.shape[2] for layer in cache.layers] == [length - 16, length - 16, length - 24, length - 24]
    assert cache.get_seq_length() == length
