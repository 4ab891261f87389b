"""Methods inside live encoders: what they read, and that merging and proportional attention are as published."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from encoder_cases import CASES, answer, encoder_shape, flow_of, plan, unit_tokens
from family_cases import BY_NAME
from layer_oracle import forced_logits
from live_families import batch

from foveate.common.errors import BadInput
from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.runtime import apply
from foveate.runtime.encoder.sizes import SizeBias


def llava() -> tuple[Any, dict[str, torch.Tensor], Any]:
    """A model with three CLIP layers whose projector takes the second one's output, inputs, and its flow."""
    case = CASES["llava"]
    model = case.build()
    inputs, _ = batch(case, rows=3)
    return model, inputs, flow_of(case, model)


def projected(model: Any, flow: Any, inputs: Any, given: Plan | None = None) -> tuple[torch.Tensor, Any]:
    """What the projector is given, under a plan; and the selections of the plan."""
    seen: list[torch.Tensor] = []
    with apply(model, given or Plan.of()) as handle, torch.no_grad():
        hook = flow.projector.register_forward_hook(lambda module, args, output: seen.append(args[0]))
        model(**inputs)
        hook.remove()
        return seen[0], handle.selections


def entering(model: Any, flow: Any, inputs: Any) -> torch.Tensor:
    """(M, 17, D) states that enter the first layer."""
    seen: list[torch.Tensor] = []
    hook = flow.layers[0].register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    with torch.no_grad():
        model(**inputs)
    hook.remove()
    return seen[0]


def attention(layer: Any, states: torch.Tensor, sizes: torch.Tensor | None = None) -> tuple[torch.Tensor, Any, Any]:
    """Plain attention of a CLIP layer with its residual: output, (M, H, N, N) softmax and (M, H, N, W) keys."""
    module, normed = layer.self_attn, layer.layer_norm1(states)
    heads = [
        proj(normed).unflatten(-1, (module.num_heads, -1)).transpose(1, 2)
        for proj in (module.q_proj, module.k_proj, module.v_proj)
    ]
    query, key, value = heads
    logits = query @ key.mT * module.head_dim**-0.5
    logits = logits if sizes is None else logits + sizes.log()[:, None, None]
    rows = logits.softmax(-1)
    return states + module.out_proj((rows @ value).transpose(1, 2).flatten(2)), rows, key


def halved(layer: Any, states: torch.Tensor) -> torch.Tensor:
    return states + layer.mlp(layer.layer_norm2(states))


@pytest.mark.parametrize("proportional", [True, False])
def test_tome_in_two_layers_equals_the_layers_by_hand(proportional: bool) -> None:
    """Merged in the first layer and again in the second, whose attention weighs by sizes where asked to."""
    model, inputs, flow = llava()
    params = {"proportional": proportional}
    given = Plan.of(*(Placement("tome", f"image.encoder.layers.{k}.mid", 0.75, params) for k in (0, 1)))
    found, _ = projected(model, flow, inputs, given)
    with torch.no_grad():
        states = entering(model, flow, inputs)
        sizes = torch.ones(states.shape[:2])
        for number, kept in ((0, 12), (1, 9)):
            layer = flow.layers[number]
            states, _, keys = attention(layer, states, sizes if proportional else None)
            states, sizes = by_hand(states, keys.mean(dim=1), sizes, 1 + kept)
            states = halved(layer, states)
    assert found.shape == (states.shape[0], 9, states.shape[2])
    assert (found - states[:, 1:]).abs().max() < 1e-5


def by_hand(states: torch.Tensor, keys: torch.Tensor, sizes: torch.Tensor, count: int) -> tuple[Any, Any]:
    """Bipartite soft matching with [CLS] in the first set, protected, row by row and pair by pair."""
    out, counts = [], []
    for state, key, size in zip(states, keys, sizes, strict=True):
        key = key / key.norm(dim=-1, keepdim=True)
        first, second = list(range(2, len(key), 2)), list(range(1, len(key), 2))
        score, match = (key[first] @ key[second].T).max(dim=1)
        groups = {i: [i] for i in range(len(key))}
        for place in score.argsort(descending=True)[: len(key) - count].tolist():
            groups[second[int(match[place])]] += groups.pop(first[place])
        ordered = [groups[i] for i in sorted(groups)]
        out.append(torch.stack([(state[g] * size[g, None]).sum(0) / size[g].sum() for g in ordered]))
        counts.append(torch.stack([size[g].sum() for g in ordered]))
    return torch.stack(out), torch.stack(counts)


@pytest.mark.parametrize("fuse", [True, False])
def test_evit_in_a_layer_equals_the_layer_by_hand(fuse: bool) -> None:
    model, inputs, flow = llava()
    site = "image.encoder.layers.1.mid"
    found, selections = projected(model, flow, inputs, Plan.of(Placement("evit", site, 0.5, {"fuse": fuse})))
    with torch.no_grad():
        states = halved(flow.layers[0], attention(flow.layers[0], entering(model, flow, inputs))[0])
        states, rows, _ = attention(flow.layers[1], states)
        row = rows.mean(dim=1)[:, 0, 1:]
        for medium, scores in enumerate(row):
            order = scores.argsort(descending=True)
            kept = sorted(order[:8].tolist())
            assert selections[site][medium].tolist() == kept
            patches = states[medium, 1:].clone()
            if fuse:
                rest = order[7:]
                patches[rest[0]] = (scores[rest, None] * states[medium, 1:][rest]).sum(0)
            expected = halved(flow.layers[1], patches[kept])
            assert (found[medium] - expected).abs().max() < 1e-5


@pytest.mark.parametrize("name", ["llava", "qwen2_5_vl", "internvl", "mistral3"])
def test_representation_shift_reads_the_mlp_before_the_site(name: str) -> None:
    """Units of several patches are compared as one vector of all their channels."""
    case = CASES[name]
    model = case.build()
    inputs, _ = batch(case, rows=1)
    shape = encoder_shape(case, model, inputs)
    layer, site = flow_of(case, model).layers[0], f"{case.modality}.encoder.layers.1"
    outputs: list[torch.Tensor] = []
    names = ("layer_norm2", "norm2", "layernorm_after", "ffn_norm")
    norm = next(getattr(layer, name) for name in names if hasattr(layer, name))
    hooks = [norm.register_forward_hook(lambda m, args, out: outputs.append(args[0]))]
    hooks.append(layer.register_forward_hook(lambda m, args, out: outputs.append(out)))
    with torch.no_grad():
        model(**inputs)
    for hook in hooks:
        hook.remove()
    moved = (outputs[1] - outputs[0]).reshape(-1, outputs[0].shape[-1])
    scores = torch.stack([moved[unit].norm() for unit in unit_tokens(case, model, inputs, shape)[0]])
    with apply(model, Plan.of(Placement("representation-shift", site, 0.5))) as handle, torch.no_grad():
        model(**inputs)
        kept = handle.selections[site][0].tolist()
    assert kept == sorted(scores.argsort(descending=True)[: len(kept)].tolist())


@pytest.mark.parametrize("name", CASES)
def test_merging_groups_of_one_is_the_identity(name: str) -> None:
    """Keeping everything, a merging pass sends every token through its means; nothing changes, bit for bit."""
    case = CASES[name]
    model = case.build()
    inputs, _ = batch(case, rows=2)
    plain = forced_logits(model, inputs, answer(2, 4))
    sites = ("encoder.output",) if name == "llama4" else ("encoder.layers.1", "encoder.layers.0.mid", "encoder.output")
    for site in sites:
        given = Plan.of(Placement("tome" if site.endswith("mid") else "pool", f"{case.modality}.{site}", 1.0))
        with apply(model, given, force_compaction=True):
            assert torch.equal(forced_logits(model, inputs, answer(2, 4)), plain)


@pytest.mark.parametrize("name", [name for name in CASES if name != "llama4"])
def test_tome_runs_in_every_encoder(name: str) -> None:
    case = CASES[name]
    model = case.build()
    inputs, where = batch(case, rows=3)
    plain = forced_logits(model, inputs, answer())
    site = f"{case.modality}.encoder.layers.0.mid"
    with apply(model, Plan.of(Placement("tome", site, 0.5))) as handle:
        assert not torch.equal(forced_logits(model, inputs, answer()), plain)
        kept = handle.selections[site]
    assert [(row >= 0).sum() for row in kept] == [max(1, len(places) // 2) for _, places in where]
    assert torch.equal(forced_logits(model, inputs, answer()), plain)


@pytest.mark.parametrize("segments", [(6,), (2, 3, 1)])
def test_sizes_weigh_as_an_additive_mask(segments: tuple[int, ...]) -> None:
    """The extra channel gives what log sizes added to the logits give, also where attention runs in segments."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    draws = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(1, 2, 6, 12, generator=draws) for _ in range(3))
    sizes = torch.randint(1, 9, (1, 6), generator=draws).float()
    module = torch.nn.Module()
    module.is_causal = False
    bias = SizeBias(lambda: sizes)
    start = 0
    for count in segments:
        part = slice(start, start + count)
        q, k, v = (t[:, :, part] for t in (query, key, value))
        found = bias(sdpa_attention_forward, module, q, k, v, None, scaling=0.3)[0]
        expected = ((q @ k.mT * 0.3 + sizes[:, None, None, part].log()).softmax(-1) @ v).transpose(1, 2)
        assert (found - expected).abs().max() < 1e-5
        start += count


@pytest.mark.parametrize(
    ("method", "name", "site", "message"),
    [
        ("evit", "paligemma", "encoder.layers.1.mid", r"has no \[CLS\] token"),
        ("representation-shift", "llava", "encoder.layers.0", "layer 0 is the first"),
        ("random", "llava", "encoder.layers.2", "unknown site"),
        ("random", "llama4", "encoder.layers.0", "unknown site"),
        ("random", "llava_next", "encoder.output", "since unpadding cuts each tile's tokens"),
    ],
)
def test_what_cannot_be_read_is_refused(method: str, name: str, site: str, message: str) -> None:
    model = BY_NAME[name].build() if name in BY_NAME else CASES[name].build()
    with pytest.raises(BadInput, match=message):
        apply(model, Plan.of(Placement(method, f"image.{site}", 0.5)))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_placements_in_several_layers_compose() -> None:
    """Each keeps half of what the one before left, and later selections are among the earlier ones."""
    case = CASES["qwen2_5_vl"]
    model = case.build()
    inputs, _ = batch(case, rows=3)
    sites = ["image.encoder.layers.0.mid", "image.encoder.layers.1", "image.encoder.output", "image.projector.output"]
    with apply(model, Plan.of(*(Placement("random", site, 0.75) for site in sites))) as handle:
        forced_logits(model, inputs, answer())
        kept = handle.selections
    counts = [[int((row >= 0).sum()) for row in kept[site]] for site in sites]
    assert counts == [[6, 6, 3], [5, 5, 2], [4, 4, 2], [3, 3, 2]]
    for earlier, later in pairwise(sites):
        for one, other in zip(kept[earlier].tolist(), kept[later].tolist(), strict=True):
            assert set(other) - {-1} <= set(one)


def test_pictures_and_clips_share_an_encoder_and_not_a_plan() -> None:
    """A placement in the pictures' encoder leaves the clips of the same prompt alone."""
    images, videos = CASES["qwen2_vl"], CASES["qwen2_vl-video"]
    model = images.build()
    inputs, _ = batch(videos, rows=2)
    plain = forced_logits(model, inputs, answer(2))
    with apply(model, plan(images, "encoder.layers.1")) as handle:
        assert torch.equal(forced_logits(model, inputs, answer(2)), plain)
        assert handle.selections == {}


def test_a_pass_after_the_encoder_reads_rows_of_what_remains() -> None:
    """FasterVLM ranks what random left by [CLS] attention over it, in the layer that the projector takes."""
    model, inputs, flow = llava()
    first, second = "image.encoder.layers.1", "image.projector.output"
    with apply(model, Plan.of(Placement("random", first, 0.5), Placement("fastervlm", second, 0.5))) as handle:
        with torch.no_grad():
            model(**inputs)
        kept = handle.selections
    with torch.no_grad():
        states = halved(flow.layers[0], attention(flow.layers[0], entering(model, flow, inputs))[0])
        for medium, left in enumerate(kept[first].tolist()):
            row = attention(flow.layers[1], states[medium : medium + 1, [0, *(i + 1 for i in left)]])[1]
            best = row[0].mean(dim=0)[0, 1:].argsort(descending=True)[:4].tolist()
            assert kept[second][medium].tolist() == sorted(left[i] for i in best)


def test_beams_keep_what_their_prompt_kept() -> None:
    """`generate` repeats encoder outputs for the beams; without a cache every step starts from the pictures again."""
    for name in ("llava", "qwen2_5_vl", "internvl"):
        case = CASES[name]
        model = case.build()
        inputs, _ = batch(case, rows=2)
        options = {"max_new_tokens": 5, "num_beams": 3, "do_sample": False, "eos_token_id": None}
        with apply(model, plan(case, "encoder.layers.1")), torch.no_grad():
            cached = model.generate(**inputs, **options, suppress_tokens=[3, 4, 5])
            uncached = model.generate(**inputs, **options, suppress_tokens=[3, 4, 5], use_cache=False)
        assert torch.equal(cached, uncached)


def test_a_failure_in_the_encoder_leaves_nothing_behind() -> None:
    model, inputs, flow = llava()
    with torch.no_grad():
        plain = model(**inputs).logits
        with apply(model, Plan.of(Placement("tome", "image.encoder.layers.0.mid", 0.5))):
            compressed = model(**inputs).logits
            hook = flow.layers[1].register_forward_pre_hook(lambda module, args: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                model(**inputs)
            hook.remove()
            assert torch.equal(model(**inputs).logits, compressed)
        assert torch.equal(model(**inputs).logits, plain)
