"""Passes at `decoder.cache` in use: turns, beams, other sites, counts, renumbering, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers as t
from evicted_entries import evicted, hiding_entries
from layer_oracle import forced_logits
from tiny import IMAGE_TOKEN, batch, tiny_config, tiny_llava

from foveate.common.errors import BadInput
from foveate.cost_models import CostModel, load_profile
from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.ir.tracing import trace
from foveate.runtime import apply, measure, resolve

CACHE = "decoder.cache"
METHODS = ("h2o", "knorm", "pyramidkv", "random-kv", "snapkv", "streamingllm")


def on_cache(method: str, keep: float = 0.5, **params: Any) -> Plan:
    return Plan.of(Placement(method, CACHE, keep, params))


def words(rows: int, count: int, seed: int = 3) -> torch.Tensor:
    return torch.randint(5, 60, (rows, count), generator=torch.Generator().manual_seed(seed))


def greedy(model: Any, inputs: dict[str, torch.Tensor], tokens: int = 16, **options: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.generate(
            **inputs, max_new_tokens=tokens, do_sample=False, eos_token_id=None, **options
        )
    return found


@pytest.mark.parametrize("scope", ["media", "all"])
@pytest.mark.parametrize("method", METHODS)
def test_keeping_everything_is_bit_identical(method: str, scope: str) -> None:
    model, inputs = tiny_llava(), batch([(1, 4), (2, 6)])
    plain = forced_logits(model, inputs, words(2, 8))
    for forced in (False, True):
        with apply(model, on_cache(method, 1.0, scope=scope), force_compaction=forced):
            assert torch.equal(forced_logits(model, inputs, words(2, 8)), plain)
    assert torch.equal(forced_logits(model, inputs, words(2, 8)), plain)


@pytest.mark.parametrize("generated", [True, False])
def test_a_second_turn_with_another_picture(generated: bool) -> None:
    """Both turns' pictures are evicted from; the oracle hides each turn's evicted entries after that turn."""
    model, first = tiny_llava(), batch([(1, 5)])
    second = {**batch([(1, 3)], seed=7)}
    reply = words(1, 4)
    with torch.no_grad(), apply(model, on_cache("random-kv")) as handle:
        cache = model(**first, use_cache=True).past_key_values
        held_first = handle.cached
        ids = torch.cat([first["input_ids"], reply, second["input_ids"]], dim=1)
        mask = torch.ones_like(ids)
        step = {"input_ids": torch.cat([reply, second["input_ids"]], dim=1), "attention_mask": mask}
        out = model(**step, pixel_values=second["pixel_values"], past_key_values=cache, use_cache=True)
        held_second, found = handle.cached, [out.logits]
        for word in words(1, 4, seed=9).T:
            mask = torch.cat([mask, mask.new_ones(1, 1)], dim=1)
            if generated:
                mask_given: dict[str, Any] = {"attention_mask": mask}
            else:
                mask_given = {}
            out = model(word[:, None], **mask_given, past_key_values=cache, use_cache=True)
            found.append(out.logits)
        assert cache.get_seq_length() == ids.shape[1] + 4
    assert all(index.shape[2] == ids.shape[1] - 16 for index in held_second.values())
    decoder, total = model.get_decoder(), ids.shape[1]
    with torch.no_grad():
        cache = model(**first, use_cache=True).past_key_values
        with hiding_entries(decoder, evicted(held_first, first["input_ids"].shape[1]), past=cache.get_seq_length()):
            out = model(
                **{**step, "attention_mask": torch.ones_like(ids)},
                pixel_values=second["pixel_values"],
                past_key_values=cache,
                use_cache=True,
            )
        expected = [out.logits]
        for place, word in enumerate(words(1, 4, seed=9).T):
            with hiding_entries(decoder, evicted(held_second, total), past=total + place):
                expected.append(model(word[:, None], past_key_values=cache, use_cache=True).logits)
    for one, other in zip(found, expected, strict=True):
        assert (one - other).abs().max() < 1e-5


def test_generate_goes_on_with_a_cache_of_an_earlier_turn() -> None:
    model, first = tiny_llava(), batch([(1, 5)])
    with apply(model, on_cache("knorm")) as handle:
        done = greedy(model, first, 4, return_dict_in_generate=True)
        held = handle.cached
        again = torch.cat([done.sequences, words(1, 5)], dim=1)
        inputs = {"input_ids": again, "attention_mask": torch.ones_like(again)}
        found = greedy(model, inputs, 6, past_key_values=done.past_key_values, output_logits=True,
                       return_dict_in_generate=True)  # fmt: skip
    length = first["input_ids"].shape[1]
    with hiding_entries(model.get_decoder(), evicted(held, length)):
        plain = greedy(model, first, 4, return_dict_in_generate=True)
    with hiding_entries(model.get_decoder(), evicted(held, length), past=length + 3):
        expected = greedy(model, inputs, 6, past_key_values=plain.past_key_values, output_logits=True,
                          return_dict_in_generate=True)  # fmt: skip
    assert torch.equal(plain.sequences, done.sequences)
    assert torch.equal(found.sequences, expected.sequences)
    assert (torch.stack(found.logits) - torch.stack(expected.logits)).abs().max() < 1e-5


@pytest.mark.parametrize("method", METHODS)
def test_beams_follow_their_rows(method: str) -> None:
    """Beam search reorders the cache; a row's beams choose alike, so the oracle hides the row's own entries."""
    model, inputs = tiny_llava(), batch([(1, 4), (2, 6)])
    params: dict[str, Any] = {"reindex": False} if method == "streamingllm" else {}
    options = {"num_beams": 3, "return_dict_in_generate": True, "output_scores": True}
    with apply(model, on_cache(method, **params)) as handle:
        found = greedy(model, inputs, 8, **options)
        held = handle.cached
    with hiding_entries(model.get_decoder(), evicted(held, inputs["input_ids"].shape[1])):
        expected = greedy(model, inputs, 8, **options)
    assert torch.equal(found.sequences, expected.sequences)
    assert (found.sequences_scores - expected.sequences_scores).abs().max() < 1e-5


def test_beams_and_eviction_while_decoding() -> None:
    model, inputs = tiny_llava(), batch([(1, 4), (2, 6)])
    with apply(model, on_cache("h2o", scope="all")):
        found = greedy(model, inputs, 6, num_beams=2, return_dict_in_generate=True)
    held = {layer.keys.shape[2] for layer in found.past_key_values.layers}
    assert len(held) == 1


def test_other_sites_before_it() -> None:
    """Tokens dropped at the projector's output and at a layer have left before; the cache goes on with the others."""
    model, inputs = tiny_llava(), batch([(1, 4), (2, 6)])
    before = (Placement("uniform", "image.projector.output", 0.75), Placement("random", "decoder.layers.2", 0.5))
    with apply(model, Plan.of(*before, Placement("knorm", CACHE, 0.5, {"skipped": 0}))) as handle:
        found = forced_logits(model, inputs, words(2, 8))
        held, left = handle.cached, handle.selections
    counts = [index.shape[2] for index in held.values()]
    length = inputs["input_ids"].shape[1]
    assert counts == [length - 10, length - 10, length - 13, length - 13]  # the padded row has one picture
    assert left["decoder.layers.2"].shape == (3, 6)
    with apply(model, Plan.of(*before)), hiding_held(model, held):
        expected = forced_logits(model, inputs, words(2, 8))
    assert (found - expected).abs().max() < 1e-5


class hiding_held:
    """Under a plan without a cache pass: hides from each head what another run had evicted, by original places."""

    def __init__(self, model: Any, held: dict[int, torch.Tensor]) -> None:
        self.model, self.held, self.handles = model, held, list[Any]()

    def __enter__(self) -> None:
        for number, layer in enumerate(self.model.get_decoder().layers):
            self.handles.append(layer.register_forward_pre_hook(self.closing(number), with_kwargs=True))

    def __exit__(self, *error: object) -> None:
        for handle in self.handles:
            handle.remove()

    def closing(self, number: int) -> Any:
        def hook(layer: Any, args: Any, kwargs: Any) -> Any:
            from foveate.runtime.ledger import ledger_of

            ledger = ledger_of(kwargs["past_key_values"])
            states = args[0] if args else kwargs["hidden_states"]
            if ledger is None or states.shape[1] > 1:
                return None
            level = max(first for first in ledger.levels if first <= number)
            index = ledger.levels[level].index
            index = torch.cat([index, index.new_full((len(index), 1), ledger.logical)], dim=1)
            there = self.held[number]
            prompt = int(there.max()) + 1
            known = torch.zeros(*there.shape[:2], ledger.logical + 1, dtype=torch.bool)
            known.scatter_(2, there.clamp(min=0), True)
            known[:, :, prompt:] = True
            open_ = known.gather(2, index[:, None].expand(-1, there.shape[1], -1)).repeat_interleave(2, dim=1)[
                :, :, None
            ]
            mask = kwargs.get("attention_mask")
            return args, {**kwargs, "attention_mask": open_ if mask is None else mask & open_}

        return hook


@pytest.mark.parametrize("scope", ["media", "all"])
@pytest.mark.parametrize("method", METHODS)
def test_counts_of_the_graph_are_those_of_a_live_cache(method: str, scope: str) -> None:
    plan = Plan.of(
        Placement("uniform", "decoder.layers.2", 0.5),
        Placement(method, CACHE, 0.3, {"scope": scope}),
    )
    model, inputs = tiny_llava(), batch([(2, 6)])
    text = inputs["input_ids"].shape[1] - 32
    graph = resolve(trace(tiny_config(), f"image=2x56x56,text={text},new=4"), plan)
    with torch.no_grad(), apply(model, plan):
        cache = model(**inputs, use_cache=True).past_key_values
    assert graph.cached_tokens() == tuple(layer.keys.shape[2] for layer in cache.layers)


def test_bytes_predicted_are_bytes_measured_and_the_pass_is_priced() -> None:
    plan, model, inputs = on_cache("snapkv", 0.25), tiny_llava(), batch([(2, 6)])
    text = inputs["input_ids"].shape[1] - 32
    graph = trace(tiny_config(), f"image=2x56x56,text={text},new=4")
    costs = CostModel(load_profile("h100-sxm"), dtype="float32")
    predicted, plain = costs.predict(resolve(graph, plan)), costs.predict(graph)
    found = measure(model, inputs, plan=plan, rounds=1, warmup=0, new_tokens=0)
    assert found.plan is not None
    assert (predicted.kv_bytes, plain.kv_bytes) == (found.plan.kv_bytes, found.plain.kv_bytes)
    assert plain.kv_bytes - predicted.kv_bytes == 4 * 32 * 4 * 2 * 12
    assert predicted.compression_ms > 0
    large = trace("llava-1.5-7b", "image=8x336x336,text=64,new=64,batch=8")
    assert costs.predict(resolve(large, plan)).tpot_ms < costs.predict(large).tpot_ms


def test_two_modalities_may_have_a_pass_each_but_not_one_that_takes_everything() -> None:
    from family_cases import BY_NAME

    model = BY_NAME["qwen2_vl"].build()
    image, video = (Placement("knorm", CACHE, 0.5, modality=(name,)) for name in ("image", "video"))
    apply(model, Plan.of(image, video)).remove()
    whole = Placement("random-kv", CACHE, 0.5, {"scope": "all"}, modality=("video",))
    with pytest.raises(BadInput, match="cannot share one cache"):
        apply(model, Plan.of(image, whole))


def test_cropping_into_the_evicted_prompt_is_refused() -> None:
    model, inputs = tiny_llava(), batch([(1, 4)])
    with torch.no_grad(), apply(model, on_cache("knorm")):
        cache = model(**inputs, use_cache=True).past_key_values
        model(torch.tensor([[9, 8]]), past_key_values=cache, use_cache=True)
        cache.crop(-2)
        assert cache.get_seq_length() == inputs["input_ids"].shape[1]
        with pytest.raises(BadInput, match="cannot be cropped"):
            cache.crop(-1)


def test_a_cache_that_was_evicted_from_needs_the_plan() -> None:
    model, inputs = tiny_llava(), batch([(1, 4)])
    with torch.no_grad():
        with apply(model, on_cache("knorm")):
            cache = model(**inputs, use_cache=True).past_key_values
        with pytest.raises(BadInput, match="no longer applied"):
            model(torch.tensor([[9]]), past_key_values=cache, use_cache=True)


def test_a_prompt_without_media_is_left_alone_unless_scope_is_all() -> None:
    model, ids = tiny_llava(), words(1, 20)
    for scope, count in (("media", 20), ("all", 10)):
        with torch.no_grad(), apply(model, on_cache("snapkv", scope=scope)):
            cache = model(input_ids=ids, use_cache=True).past_key_values
        assert [layer.keys.shape[2] for layer in cache.layers] == [count] * 4


def test_without_a_cache_nothing_happens() -> None:
    model, inputs = tiny_llava(), batch([(1, 4)])
    with torch.no_grad():
        plain = model(**inputs, use_cache=False).logits
        with apply(model, on_cache("h2o")):
            assert torch.equal(model(**inputs, use_cache=False).logits, plain)


def rope(keys: torch.Tensor, places: torch.Tensor, theta: float = 10000.0) -> torch.Tensor:
    """Rotary embedding as published (arXiv:2104.09864) in the two-halves form, in float64."""
    half = keys.shape[-1] // 2
    angle = places.double()[:, None] / theta ** (torch.arange(half).double() / half)
    cos, sin = angle.cos(), angle.sin()
    first, second = keys[..., :half].double(), keys[..., half:].double()
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


def test_streamingllm_renumbers_as_published() -> None:
    """The reference keeps raw keys, rotates them by their place in the cache, and asks from the place after the last.

    Each step of the unmodified model runs on a cache that is rebuilt from the raw keys (arXiv:2309.17453, section 3.2).
    """
    model, inputs = tiny_llava(decoder="llama"), batch([(1, 6)])
    length, sinks, count = inputs["input_ids"].shape[1], 2, 12
    plan = on_cache("streamingllm", count / length, sinks=sinks, scope="all")
    script = words(1, 8).T
    with torch.no_grad(), apply(model, plan):
        cache = model(**inputs, use_cache=True).past_key_values
        assert {layer.keys.shape[2] for layer in cache.layers} == {count}
        found = [model(word[:, None], past_key_values=cache, use_cache=True).logits for word in script]
    raw: list[torch.Tensor] = [torch.empty(0)] * 4
    values: list[torch.Tensor] = [torch.empty(0)] * 4

    def record(number: int, which: list[torch.Tensor]) -> Any:
        def hook(module: Any, args: Any, output: torch.Tensor) -> None:
            heads = output.view(1, -1, 2, output.shape[-1] // 2).transpose(1, 2)
            which[number] = torch.cat([which[number], heads], dim=2) if which[number].numel() else heads

        return hook

    for number, layer in enumerate(model.get_decoder().layers):
        layer.self_attn.k_proj.register_forward_hook(record(number, raw))
        layer.self_attn.v_proj.register_forward_hook(record(number, values))
    with torch.no_grad():
        model(**inputs)
        for word, logits in zip(script, found, strict=True):
            cache = t.DynamicCache(config=model.get_decoder().config)
            for number in range(4):
                raw[number], values[number] = (
                    torch.cat([kept[:, :, :sinks], kept[:, :, kept.shape[2] - (count - sinks) :]], dim=2)
                    for kept in (raw[number], values[number])
                )
                keys = rope(raw[number], torch.arange(count)).float()
                cache.update(keys, values[number], number)
            step = {"position_ids": torch.tensor([[count]]), "attention_mask": torch.ones(1, count + 1)}
            expected = model(word[:, None], **step, past_key_values=cache, use_cache=True).logits
            assert (logits - expected).abs().max() < 1e-5


def test_renumbering_is_refused_where_positions_are_not_numbers() -> None:
    from family_cases import BY_NAME

    model = BY_NAME["qwen2_vl"].build()
    with pytest.raises(BadInput, match="several dimensions"):
        apply(model, on_cache("streamingllm"))
    apply(model, on_cache("streamingllm", reindex=False)).remove()


def test_renumbering_the_pictures_of_two_turns_and_of_padded_rows() -> None:
    """Each cached key stands as far from the last one as it would without gaps, whatever was evicted before."""
    model, inputs = tiny_llava(decoder="llama"), batch([(1, 5), (2, 7)])
    plain = tiny_llava(decoder="llama")
    mask = inputs["attention_mask"]
    places = mask.cumsum(dim=1).sub(1).clamp(min=0)
    with torch.no_grad():
        whole = plain(**inputs, position_ids=places, use_cache=True).past_key_values
        with apply(model, on_cache("streamingllm", sinks=3)) as handle:
            cache = model(**inputs, position_ids=places, use_cache=True).past_key_values
    for number, index in handle.cached.items():
        for row in range(2):
            slots = [slot for slot, place in enumerate(index[row, 0].tolist()) if place >= 0 and mask[row, place]]
            kept = index[row, 0, slots]
            last = places[row, kept[-1]]
            moved = last - torch.arange(len(slots) - 1, -1, -1) - places[row, kept]
            expected = rope(whole.layers[number].keys[row][:, kept], moved)
            assert (cache.layers[number].keys[row][:, slots] - expected).abs().max() < 1e-5
            assert int(moved.max()) > 0
            assert int((inputs["input_ids"][row, kept] == IMAGE_TOKEN).sum()) == (8, 16)[row]
