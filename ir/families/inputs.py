"""What the media of a workload look like to a model that follows the usual conventions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from ...common.errors import BadInput
from ..layout import Layout
from ..workload import Workload
from .row import Media, Row, signature

if TYPE_CHECKING:
    from torch import nn

Medium = TypeVar("Medium")


def shape(*sizes: int) -> Any:
    """A float32 tensor on meta."""
    import torch

    return torch.empty(*sizes, device="meta")


def numbers(rows: Any) -> Any:
    """A real int64 tensor."""
    import torch

    return torch.tensor(rows, dtype=torch.long)


def first(config: Any, *names: str, default: Any = None) -> Any:
    """The first attribute of `names` that the configuration has and that is not None."""
    for name in names:
        value = getattr(config, name, None)
        if value is not None:
            return value
    return default


def vision_config(config: Any) -> Any:
    """The vision tower's configuration."""
    found = first(config, "vision_config", "vision_encoder_config", "vision", "vq_config", "encoder", default=config)
    return getattr(found, "vision_config", None) or found


def side_of(vision: Any) -> tuple[int, int]:
    """Height and width of the pictures that a tower of fixed size takes."""
    size = first(vision, "image_size", "input_size", default=224)
    if isinstance(size, dict):
        return int(size["height"]), int(size["width"])
    return (int(size[0]), int(size[1])) if isinstance(size, (list, tuple)) else (int(size), int(size))


def pictures(workload: Workload) -> list[tuple[int, int]]:
    """(height, width) of each picture of one request."""
    return [(item.height, item.width) for item in workload.images for _ in range(item.count)]


def generic_media(row: Row, model: nn.Module, modality: str, workload: Workload) -> Media:
    """Patches with a grid where `forward` takes a grid, pictures of the tower's size, or spectrograms."""
    taken = signature(model)
    if modality == "audio":
        from .sound import spectrogram

        return spectrogram(row.config, taken, workload)
    if modality == "video" or "image_grid_thw" in taken:
        from .grids import grid_media

        return grid_media(row, modality, workload)
    return fixed_pictures(row.config, workload)


def fixed_pictures(config: Any, workload: Workload) -> Media:
    """Every picture resized to the tower's own size: pixel_values (pictures, channels, height, width)."""
    vision = vision_config(config)
    height, width = side_of(vision)
    count = len(pictures(workload))
    arguments: dict[str, Any] = {"pixel_values": shape(count, channels(vision), height, width)}
    return Media(arguments)


def channels(vision: Any) -> int:
    """Colour channels."""
    return int(first(vision, "num_channels", "in_channels", "in_chans", default=3))


def of_one_size(media: Sequence[Medium], modality: str) -> Medium:
    """The first medium, where all are alike: for families that stack them in one tensor.

    Raises:
        BadInput: they differ.
    """
    if len(set(media)) > 1:
        raise BadInput(f"this model stacks every {modality} of a request in one tensor; give one size in the workload")
    return media[0]


def square_layout(count: int, *, prefix: int = 0) -> Layout:
    """A square grid of `count` tokens where it is one, else a sequence."""
    side = int(count**0.5)
    return Layout.image(side, side, prefix=prefix) if side * side == count else Layout(count, None, prefix)
