"""The oracle for placements before an encoder: the unmodified model's features of smaller media made by hand."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from layer_oracle import dropped_columns, forced_logits, hiding
from live_families import FIRST_WORD, WORDS

from foveate.runtime.adapters import adapter_of

STEPS = 16


def answer(rows: int = 3, steps: int = STEPS) -> torch.Tensor:
    return torch.randint(FIRST_WORD, WORDS, (rows, steps), generator=torch.Generator().manual_seed(1))


def by_hand(
    model: Any,
    modality: str,
    inputs: Mapping[str, torch.Tensor],
    where: list[tuple[int, list[int]]],
    kept: torch.Tensor,
    smaller: dict[str, Any],
    *,
    left: torch.Tensor | None = None,
    encoding: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> torch.Tensor:
    """Logits of the unmodified model whose media features come from `smaller` inputs, the other places hidden.

    `left` are places of `kept` that go on from the encoder, None for all; `encoding` surrounds that encoding.
    """
    hidden = dropped_columns(inputs, where, kept if left is None else left)
    if model.config.model_type == "video_llava":
        hidden |= classes_of_gone_frames(inputs, where, kept)
    with (
        features_replaced(model, modality, smaller, rows_of(kept), where, encoding),
        hiding(adapter_of(model.config).decoder(model), {0: hidden}),
    ):
        return forced_logits(model, inputs, answer())


@contextmanager
def features_replaced(
    model: Any,
    modality: str,
    smaller: dict[str, Any],
    kept: list[list[int]],
    where: list[tuple[int, list[int]]],
    encoding: Callable[[], AbstractContextManager[Any]],
) -> Iterator[None]:
    """`get_*_features` gives the features of `smaller` at the places of `kept`, zeros elsewhere."""
    owner, name = model.base_model, f"get_{modality}_features"
    original = getattr(owner, name)

    @functools.wraps(original)  # `generate` looks at its parameters
    def replaced(*args: Any, **kwargs: Any) -> Any:
        output = original(*args, **kwargs)
        with encoding():
            small = original(**smaller)
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


def rows_of(kept: torch.Tensor) -> list[list[int]]:
    """What each medium keeps, without the filling of shorter rows."""
    return [[index for index in row if index >= 0] for row in kept.tolist()]


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
