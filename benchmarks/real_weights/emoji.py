"""Named emoji as a data set of pictures in categories."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from .packages import unpacked

MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LEFT_OUT = ("Flags", "Component", "Symbols")
"""Categories that a picture's shapes do not tell: flags differ by country, symbols share letters and squares."""


def pictures(count: int, *, pixels: int, seed: int = 0, folder: Path | None = None) -> tuple[torch.Tensor, list[str]]:
    """(count, 3, pixels, pixels) normalised pictures and their categories, equally many of each, drawn from `seed`.

    Raises:
        BadInput: the package cannot be had.
    """
    home = unpacked("emoji-datasource-google", folder=folder) / "package"
    named: dict[str, list[str]] = defaultdict(list)
    for item in json.loads((home / "emoji.json").read_text()):
        if item["has_img_google"] and item["category"] not in LEFT_OUT:
            named[item["category"]].append(item["image"])
    draws = np.random.default_rng(seed)
    queues = {name: list(draws.permutation(sorted(files))) for name, files in sorted(named.items())}
    turns = [
        (name, queue[turn])
        for turn in range(max(map(len, queues.values())))
        for name, queue in queues.items()
        if turn < len(queue)
    ][:count]
    drawn = [_picture(home / "img" / "google" / "64" / file, pixels) for _, file in turns]
    return torch.stack(drawn), [name for name, _ in turns]


def _picture(path: Path, pixels: int) -> torch.Tensor:
    """One emoji on white, (3, pixels, pixels)."""
    drawing = Image.open(path).convert("RGBA")
    white = Image.new("RGBA", drawing.size, "white")
    white.alpha_composite(drawing)
    values = np.asarray(white.convert("RGB").resize((pixels, pixels), Image.Resampling.BICUBIC), np.float32) / 255
    return torch.from_numpy(((values - MEAN) / SPREAD).astype(np.float32)).permute(2, 0, 1)
