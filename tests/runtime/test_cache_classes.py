"""Every class of cache under plans: what growing, static, sliding, quantised and offloaded caches do."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers as t
from family_cases import BY_NAME
from layer_oracle import dropped_columns, forced_logits, hiding
from live_families import FIRST_WORD, WORDS
from live_families import batch as family_batch
from tiny import batch, tiny_llava
from transformers import cache_utils as caches

from foveate.common.errors import BadInput
from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.runtime import apply
from foveate.runtime.adapters import adapter_of
from foveate.runtime.layer_kinds import windowed

WINDOWED = [name for name, case in BY_NAME.items() if windowed(case.build().config.get_text_config(decoder=True))]


def answer(rows: int, steps: int = 16) -> torch.Tensor:
    return torch.randint(FIRST_WORD, WORDS, (rows, steps), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("keep", [0.5, 0.125])
@pytest.mark.parametrize("site", ["projector.output", "decoder.layers.1"])
@pytest.mark.parametrize("name", WINDOWED)
def test_static_caches_with_windows_are_exact(name: str, site: str, keep: float) -> None:
    """Windows are shorter than the prompt, so that they fill up before, in and after the prefill."""
    case = BY_NAME[name]
    model = case.build()
    inputs, where = family_batch(case, rows=3)
    full = f"{case.modality}.{site}" if site.startswith("projector") else site
    with apply(model, Plan.of(Placement("random", full, keep))) as handle:
        found = forced_logits(model, inputs, answer(3), cache_implementation="static", disable_compile=True)
        kept = handle.selections[full]
    first = 0 if site.startswith("projector") else 1
    with hiding(adapter_of(model.config).decoder(model), {first: dropped_columns(inputs, where, kept)}):
        expected = forced_logits(model, inputs, answer(3))
    assert (found - expected).abs().max() < 1e-5


def test_the_matrix_has_windows() -> None:
    assert {"gemma3", "llama4"} <= set(WINDOWED)


class Rounded(caches.QuantizedLayer):  # type: ignore[misc]
    """Eight bits a channel, one scale for each head: a backend that needs no other package."""

    def __init__(self) -> None:
        super().__init__(nbits=8, residual_length=6)

    def _quantize(self, tensor: torch.Tensor, axis: int) -> Any:
        scale = tensor.abs().amax(dim=(2, 3), keepdim=True) / 127
        return (tensor / scale).round().to(torch.int8), scale

    def _dequantize(self, quantised: Any) -> torch.Tensor:
        codes, scale = quantised
        return codes.float() * scale


def quantised(model: Any, backend: str) -> Any:
    if backend == "fp8":
        return t.QuantizedCache("fp8", model.config.get_text_config(decoder=True))
    cache = t.QuantizedCache("fp8", model.config.get_text_config(decoder=True))
    cache.layers = [Rounded() for _ in cache.layers]
    return cache


def decoded(model: Any, inputs: dict[str, torch.Tensor], cache: Any, steps: int = 12) -> torch.Tensor:
    mask = inputs["attention_mask"]

    def places() -> torch.Tensor:
        return mask.cumsum(dim=1).sub(1).clamp(min=0)

    with torch.no_grad():
        logits = [model(**inputs, position_ids=places(), past_key_values=cache, use_cache=True).logits[:, -1]]
        for word in answer(2, steps).T:
            mask = torch.cat([mask, mask.new_ones(2, 1)], dim=1)
            step = {"attention_mask": mask, "position_ids": places()[:, -1:]}
            logits.append(model(word[:, None], **step, past_key_values=cache, use_cache=True).logits[:, -1])
    return torch.stack(logits)


@pytest.mark.parametrize("backend", ["fp8", "rounded"])
@pytest.mark.parametrize("site", ["image.projector.output", "decoder.layers.2"])
def test_a_quantised_cache_holds_what_remains_quantised(site: str, backend: str) -> None:
    """What it holds after the prefill is, code by code, the quantised content of an ordinary cache under the plan."""
    model, inputs = tiny_llava(), batch([(1, 4), (2, 6)])
    plan = Plan.of(Placement("uniform", site, 0.5))
    with torch.no_grad(), apply(model, plan):
        plain = model(**inputs, use_cache=True).past_key_values
        cache = quantised(model, backend)
        model(**inputs, past_key_values=cache, use_cache=True)
        for layer, ordinary in zip(cache.layers, plain.layers, strict=True):
            again = layer._quantize(ordinary.keys) if backend == "fp8" else layer._quantize(ordinary.keys, 0)
            assert torch.equal(layer._quantized_keys[0].float(), again[0].float())
        assert cache.get_seq_length() == inputs["input_ids"].shape[1]


@pytest.mark.parametrize("backend", ["fp8", "rounded"])
@pytest.mark.parametrize("site", ["image.projector.output", "decoder.layers.2"])
def test_decoding_from_a_quantised_cache_is_exact(site: str, backend: str) -> None:
    """Against the plan on an ordinary cache whose tensors are rounded in the same way after every call."""
    model, inputs = tiny_llava(), batch([(1, 4), (2, 6)])
    plan = Plan.of(Placement("uniform", site, 0.5))
    with apply(model, plan):
        found = decoded(model, inputs, quantised(model, backend))
        expected = decoded(model, inputs, Mirror(model, quantised(model, backend)))
    assert (found - expected).abs().max() < 1e-5
    with apply(model, plan):
        assert (decoded(model, inputs, grown(model)) - found).abs().max() > 1e-5


def grown(model: Any) -> Any:
    return t.DynamicCache(config=model.config.get_text_config(decoder=True))


class Mirror(t.DynamicCache):
    """An ordinary cache that hands out what a quantised one, fed beside it, would."""

    def __init__(self, model: Any, other: Any) -> None:
        super().__init__(config=model.config.get_text_config(decoder=True))
        self.other = other

    def update(self, keys: torch.Tensor, values: torch.Tensor, layer_idx: int, *args: Any, **kwargs: Any) -> Any:
        super().update(keys, values, layer_idx, *args, **kwargs)
        return self.other.update(keys, values, layer_idx)


def test_cache_passes_refuse_what_they_cannot_evict_from() -> None:
    model, inputs = tiny_llava(), batch([(1, 4), (2, 6)])
    config = model.config.get_text_config(decoder=True)
    offloaded = t.DynamicCache(config=config)
    offloaded.offloading = True
    refused = {
        "keeps its room": t.StaticCache(config=config, max_cache_len=64),
        "Fp8QuantizedLayer": quantised(model, "fp8"),
        "without offloading": offloaded,
    }
    for reason, cache in refused.items():
        with (
            torch.no_grad(),
            apply(model, Plan.of(Placement("knorm", "decoder.cache", 0.5))),
            pytest.raises(BadInput, match=reason),
        ):
            model(**inputs, past_key_values=cache, use_cache=True)
        assert cache.get_seq_length() == 0  # refused before anything ran


def test_windows_alone_leave_a_cache_pass_nothing_to_do() -> None:
    config = t.LlavaConfig(
        vision_config=t.CLIPVisionConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=4),
        text_config=t.MistralConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, sliding_window=8),
    )
    model = t.LlavaForConditionalGeneration(config)
    with pytest.raises(BadInput, match="unknown site"):
        apply(model, Plan.of(Placement("knorm", "decoder.cache", 0.5)))


def test_windowed_layers_keep_their_own_entries() -> None:
    case = BY_NAME["gemma3"]
    model = case.build()
    inputs, _ = family_batch(case, rows=2)
    with torch.no_grad(), apply(model, Plan.of(Placement("random-kv", "decoder.cache", 0.5))) as handle:
        cache = model(**inputs, use_cache=True).past_key_values
    sliding = [number for number, layer in enumerate(cache.layers) if layer.is_sliding]
    assert sliding
    assert not set(sliding) & set(handle.cached)
    assert {cache.layers[number].keys.shape[2] for number in sliding} == {11}
