"""Placements before the encoder equal the unmodified encoder on the smaller input, at gapped positions."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from family_cases import BY_NAME
from layer_oracle import dropped_columns, forced_logits, hiding
from live_families import FIRST_WORD, WORDS, batch

from foveate.ir.placement import Placement
from foveate.ir.plan import Plan
from foveate.runtime import apply
from foveate.runtime.adapters import adapter_of

STEPS = 16
PICTURES = (
    "llava",
    "vipllava",
    "paligemma",
    "internvl",
    "aya_vision",
    "cohere2_vision",
    "idefics3",
    "smolvlm",
    "mistral3",
    "qwen2_vl",
    "qwen2_5_vl",
    "qwen3_vl",
    "qwen3_vl_moe",
    "video_llama_3",
)
CLIPS = (
    "qwen2_vl-video",
    "qwen2_5_vl-video",
    "qwen3_vl-video",
    "video_llama_3-video",
    "video_llava",
    "llava_next_video",
    "llava_onevision-video",
)
EVERY = [(name, "downsample") for name in PICTURES] + [
    (name, method) for name in CLIPS for method in ("uniform-frames", "mgsampler-pixels")
]
EVERY += [(name, "trim-padding") for name in ("qwen2_audio", "voxtral")]


def answer(rows: int = 3, steps: int = STEPS) -> torch.Tensor:
    return torch.randint(FIRST_WORD, WORDS, (rows, steps), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("name", "method"), EVERY)
def test_keeping_everything_is_bit_identical(name: str, method: str) -> None:
    case = BY_NAME[name]
    model = case.build()
    inputs, _ = batch(case)
    plain = forced_logits(model, inputs, answer(2))
    for forced in (False, True):
        with apply(model, Plan.of(Placement(method, f"{case.modality}.input", 1.0)), force_compaction=forced):
            assert torch.equal(forced_logits(model, inputs, answer(2)), plain)
    assert torch.equal(forced_logits(model, inputs, answer(2)), plain)


@pytest.mark.parametrize("name", PICTURES)
def test_downsampling_equals_the_encoder_on_smaller_pictures(name: str) -> None:
    assert difference(name, "downsample") < 1e-5


@pytest.mark.parametrize("name", ["qwen2_vl-video", "qwen3_vl-video", "video_llama_3-video"])
def test_frames_of_clips_can_be_made_smaller(name: str) -> None:
    assert difference(name, "downsample") < 1e-5


@pytest.mark.parametrize("method", ["uniform-frames", "mgsampler-pixels"])
@pytest.mark.parametrize("name", CLIPS)
def test_frame_selection_equals_the_encoder_on_the_chosen_frames(name: str, method: str) -> None:
    assert difference(name, method) < 1e-5


def difference(name: str, method: str) -> float:
    """The largest difference in any logit between half of the input under the pass and the same made by hand."""
    case = BY_NAME[name]
    model = case.build()
    inputs, where = batch(case, rows=3)
    site = f"{case.modality}.input"
    with apply(model, Plan.of(Placement(method, site, 0.5))) as handle:
        compressed = forced_logits(model, inputs, answer())
        kept = handle.selections[site]
    if method == "downsample":
        smaller = smaller_pictures(model, inputs, where, modality=case.modality)
    else:
        smaller = chosen_frames(model, inputs, where, kept)
    assert kept.numel() < sum(len(places) for _, places in where)
    return float((compressed - by_hand(model, case.modality, inputs, where, kept, smaller)).abs().max())


def by_hand(
    model: Any,
    modality: str,
    inputs: Mapping[str, torch.Tensor],
    where: list[tuple[int, list[int]]],
    kept: torch.Tensor,
    smaller: dict[str, Any],
) -> torch.Tensor:
    """Logits of the unmodified model whose media features come from `smaller` inputs, the other places hidden."""
    hidden = dropped_columns(inputs, where, kept)
    if model.config.model_type == "video_llava":
        hidden |= classes_of_gone_frames(inputs, where, kept)
    with (
        features_replaced(model, modality, smaller, [[i for i in row if i >= 0] for row in kept.tolist()], where),
        hiding(adapter_of(model.config).decoder(model), {0: hidden}),
    ):
        return forced_logits(model, inputs, answer())


@contextmanager
def features_replaced(
    model: Any, modality: str, smaller: dict[str, Any], kept: list[list[int]], where: list[tuple[int, list[int]]]
) -> Iterator[None]:
    """`get_*_features` gives the features of `smaller` at the places of `kept`, zeros elsewhere."""
    owner, name = model.base_model, f"get_{modality}_features"
    original = getattr(owner, name)

    @functools.wraps(original)  # `generate` looks at its parameters
    def replaced(*args: Any, **kwargs: Any) -> Any:
        output, small = original(*args, **kwargs), original(**smaller)
        output.pooler_output = filled(output.pooler_output, small.pooler_output, model, kept, where)
        if getattr(output, "deepstack_features", None) is not None:
            pairs = zip(output.deepstack_features, small.deepstack_features, strict=True)
            output.deepstack_features = [filled(full, part, model, kept, where) for full, part in pairs]
        return output

    setattr(owner, name, replaced)
    try:
        yield
    finally:
        owner.__dict__.pop(name)


def filled(full: Any, small: Any, model: Any, kept: list[list[int]], where: list[tuple[int, list[int]]]) -> Any:
    """`full` with every row zero but those that `small` has."""
    parts = [full] if isinstance(full, torch.Tensor) else list(full)
    smalls = [small] if isinstance(small, torch.Tensor) else list(small)
    rows = torch.cat([part.reshape(-1, part.shape[-1]) for part in smalls])
    places, start = [], 0
    for chosen, (_, compressible) in zip(kept, where, strict=True):
        count = len(compressible)
        if model.config.model_type == "video_llava":  # 8 frames of a class token and 16 patches
            mine = [17 * (i // 16) + 1 + i % 16 for i in chosen]
            mine = sorted(mine + sorted({17 * (i // 16) for i in chosen}))
            count = 17 * 8
        elif model.config.model_type == "llava_onevision":  # a newline token after the clip
            mine, count = [*chosen, count], count + 1
        else:
            mine = chosen
        places += [start + place for place in mine]
        start += count
    everything = rows.new_zeros(start, rows.shape[-1])
    everything[torch.tensor(places)] = rows
    if isinstance(full, torch.Tensor):
        return everything.view_as(full)
    cut = everything.split([part.reshape(-1, part.shape[-1]).shape[0] for part in parts])
    return [piece.view_as(part) for piece, part in zip(cut, parts, strict=True)]


def side_of(cells: int, share: float, height: int, width: int) -> tuple[int, int]:
    """The grid of the same shape with the number of cells nearest to a share, by trying all."""
    found = []
    for rows in range(1, height + 1):
        for columns in range(1, width + 1):
            if rows == max(1, round(columns * height / width)) or columns == max(1, round(rows * width / height)):
                found.append((abs(rows * columns - share * cells), rows, columns))
    return min(found)[1:]


def smaller_pictures(
    model: Any, inputs: Mapping[str, torch.Tensor], where: list[tuple[int, list[int]]], *, modality: str = "image"
) -> dict[str, Any]:
    """Arguments of the feature function with pictures at half as many tokens, made by hand."""
    kind, name = model.config.model_type, "pixel_values" if modality == "image" else "pixel_values_videos"
    pixels = inputs[name]
    if f"{modality}_grid_thw" in inputs:
        return smaller_patches(model, inputs, modality)
    if kind == "mistral3":
        sizes, padded = [], torch.zeros(len(pixels), 3, 56, 84)
        for number, (height, width) in enumerate((inputs["image_sizes"] // 28).tolist()):
            rows, columns = side_of(height * width, 0.5, height, width)
            padded[number, :, : 28 * rows, : 28 * columns] = shrunk(
                pixels[number : number + 1, :, : 28 * height, : 28 * width], 28 * rows, 28 * columns
            )[0]
            sizes.append([28 * rows, 28 * columns])
        high, wide = max(s[0] for s in sizes), max(s[1] for s in sizes)
        return {"pixel_values": padded[:, :, :high, :wide], "image_sizes": torch.tensor(sizes)}
    side = int(len(where[0][1]) ** 0.5)
    size = side_of(side * side, 0.5, side, side)[0] * 56 // side
    smaller = shrunk(pixels.reshape(-1, 3, 56, 56), size, size).view(*pixels.shape[:-2], size, size)
    interpolated = kind not in ("idefics3", "smolvlm", "internvl")
    return {"pixel_values": smaller} | ({"interpolate_pos_encoding": True} if interpolated else {})


def shrunk(pixels: torch.Tensor, height: int, width: int) -> torch.Tensor:
    return torch.nn.functional.interpolate(pixels, size=(height, width), mode="bilinear", antialias=True)


def smaller_patches(model: Any, inputs: Mapping[str, torch.Tensor], modality: str) -> dict[str, Any]:
    """Qwen's rows of patches put together to frames one by one, shrunk, and cut up again."""
    name = "pixel_values" if modality == "image" else "pixel_values_videos"
    time = 1 if model.config.model_type == "video_llama_3" else 2
    rows, grids, start = [], [], 0
    for t, h, w in inputs[f"{modality}_grid_thw"].tolist():
        frames = torch.zeros(t, time, 3, h * 14, w * 14)
        for number, (step, y, x) in enumerate(patch_order(t, h, w)):
            patch = inputs[name][start + number].view(3, time, 14, 14)
            frames[step, :, :, 14 * y : 14 * y + 14, 14 * x : 14 * x + 14] = patch.transpose(0, 1)
        start += t * h * w
        height, width = (2 * cells for cells in side_of(h * w // 4, 0.5, h // 2, w // 2))
        smaller = shrunk(frames.flatten(0, 1), 14 * height, 14 * width).view(t, time, 3, 14 * height, 14 * width)
        for step, y, x in patch_order(t, height, width):
            patch = smaller[step, :, :, 14 * y : 14 * y + 14, 14 * x : 14 * x + 14].transpose(0, 1)
            rows.append(patch.reshape(-1))
        grids.append([t, height, width])
    given = {name: torch.stack(rows), f"{modality}_grid_thw": torch.tensor(grids)}
    merges = f"{modality}_merge_sizes"
    return given | ({merges: inputs[merges]} if merges in inputs else {})


def patch_order(t: int, h: int, w: int) -> list[tuple[int, int, int]]:
    """(time, row, column) of each patch: two by two groups, row by row."""
    groups = [(step, y, x) for step in range(t) for y in range(0, h, 2) for x in range(0, w, 2)]
    return [(step, y + dy, x + dx) for step, y, x in groups for dy in (0, 1) for dx in (0, 1)]


def chosen_frames(
    model: Any, inputs: Mapping[str, torch.Tensor], where: list[tuple[int, list[int]]], kept: torch.Tensor
) -> dict[str, Any]:
    """Arguments of `get_video_features` with only the frames that hold kept tokens, which must be whole."""
    pixels, rows, start = inputs["pixel_values_videos"], [], 0
    if "video_grid_thw" not in inputs:
        places = len(where[0][1]) // pixels.shape[1]
        frames = [sorted({i // places for i in row}) for row in kept.tolist()]
        assert all(len(row) == places * len(set(each)) for row, each in zip(kept.tolist(), frames, strict=True))
        return {"pixel_values_videos": torch.stack([clip[each] for clip, each in zip(pixels, frames, strict=True)])}
    grids = []
    for (t, h, w), row in zip(inputs["video_grid_thw"].tolist(), kept.tolist(), strict=True):
        chosen = [i for i in row if i >= 0]
        frames = [sorted({i // (h * w // 4) for i in chosen})]
        assert len(chosen) == len(frames[0]) * h * w // 4
        rows += [pixels[start + f * h * w : start + (f + 1) * h * w] for f in frames[0]]
        grids.append([len(frames[0]), h, w])
        start += t * h * w
    given = {"pixel_values_videos": torch.cat(rows), "video_grid_thw": torch.tensor(grids)}
    merges = "video_merge_sizes"
    return given | ({merges: inputs[merges]} if merges in inputs else {})


def classes_of_gone_frames(
    inputs: Mapping[str, torch.Tensor], where: list[tuple[int, list[int]]], kept: torch.Tensor
) -> torch.Tensor:
    """(B, L) bool: Video-LLaVA's class tokens of frames of which nothing is kept."""
    mask = torch.zeros(inputs["input_ids"].shape, dtype=torch.bool)
    for (row, places), chosen in zip(where, kept.tolist(), strict=True):
        gone = set(range(8)) - {i // 16 for i in chosen}
        mask[row, [places[16 * frame] - 1 for frame in gone]] = True
    return mask


@pytest.mark.parametrize("name", ["qwen2_audio", "voxtral"])
def test_trimming_equals_the_tower_on_the_shorter_sound(name: str) -> None:
    case = BY_NAME[name]
    model = case.build()
    inputs, where = batch(case, rows=3)
    with apply(model, Plan.of(Placement("trim-padding", "audio.input", 0.5))) as handle:
        compressed = forced_logits(model, inputs, answer())
        kept = handle.selections["audio.input"]
    units = 8 if name == "qwen2_audio" else 4
    tower: Any = model.get_encoder(modality="audio")
    original = tower.forward

    def by_parts(*args: Any, **kwargs: Any) -> Any:
        output = original(inputs["input_features"])
        output.last_hidden_state = trimmed_states(tower, inputs["input_features"], windows_of(kept, where, units))
        return output

    tower.forward = by_parts
    with hiding(adapter_of(model.config).decoder(model), {0: dropped_columns(inputs, where, kept)}):
        expected = forced_logits(model, inputs, answer())
    assert (compressed - expected).abs().max() < 1e-5


def windows_of(kept: torch.Tensor, where: list[tuple[int, list[int]]], units: int) -> list[list[int]]:
    """The kept units of each window, a sound taking as many windows as it needs."""
    windows = []
    for row, (_, places) in zip(kept.tolist(), where, strict=True):
        for first in range(0, len(places), units):
            windows.append([unit - first for unit in row if first <= unit < first + units])
    return windows


def trimmed_states(tower: Any, spectrum: torch.Tensor, windows: list[list[int]]) -> torch.Tensor:
    """The tower's output when each window's spectrum holds only its kept units, one window at a time, no padding."""
    units = 8 if hasattr(tower, "avg_pooler") and "Qwen2" in type(tower).__name__ else 4
    frames, rows = spectrum.shape[2] // units, []
    for window, kept in zip(spectrum, windows, strict=True):
        outputs = 1 if units == 8 else 4
        full = torch.zeros(units * outputs, tower.layers[0].fc1.in_features)
        if kept:
            cut = torch.cat([window[:, frames * u : frames * (u + 1)] for u in kept], dim=1)[None]
            hidden = torch.nn.functional.gelu(tower.conv2(torch.nn.functional.gelu(tower.conv1(cut)))).mT
            places = [p for u in kept for p in range(u * frames // 2, (u + 1) * frames // 2)]
            hidden = hidden + tower.embed_positions.weight[places]
            for layer in tower.layers:
                hidden = layer(hidden, None)
                hidden = hidden[0] if isinstance(hidden, tuple) else hidden
            if units == 8:
                hidden = hidden.unflatten(1, (-1, 2)).mean(2)
            full[[o for u in kept for o in range(u * outputs, (u + 1) * outputs)]] = tower.layer_norm(hidden)[0]
        rows.append(full)
    return torch.stack(rows)
