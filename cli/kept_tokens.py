"""What a plan keeps of one medium, and the pictures that the model was shown of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..common.errors import BadInput
from ..ir.site import Site
from .inputs import Media
from .models import Loaded

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from ..ir.layout import Layout
    from ..ir.plan import Plan

_PIXELS = {"image": ("pixel_values", "pixel_values_images"), "video": ("pixel_values_videos",)}


def kept_tokens(
    loaded: Loaded, plan: Plan, inputs: dict[str, Any], modality: str, *, site: str | None = None
) -> tuple[str, list[Layout], list[list[int]]]:
    """Run one prefill under a plan; the site, the layout of each medium or tile, and the tokens that it keeps there.

    Args:
        site: one of the plan's sites; None is the last along the flow that acts on the modality.

    Raises:
        BadInput: the plan has no placement for the modality, or none at `site`.
    """
    import torch

    from ..runtime import apply
    from ..runtime.adapters import adapter_of

    where = _site(plan, modality, site)
    adapter = adapter_of(loaded.model.config)
    with torch.inference_mode(), apply(loaded.model, plan) as handle:
        if loaded.model.config.is_encoder_decoder:
            loaded.model.get_encoder()(inputs["input_features"])
        else:
            loaded.model(**inputs, logits_to_keep=1)
        kept = handle.selections[where]
    media = adapter.media(loaded.model.config, inputs).get(modality)
    if media is None:
        media_layouts = [adapter.encoder_layout(loaded.model.config, modality)] * len(kept)
    else:
        media_layouts = [medium.layout for medium in media]
    return where, media_layouts, [[index for index in row if index >= 0] for row in kept.tolist()]


def shown_pictures(loaded: Loaded, media: Media, inputs: dict[str, Any], modality: str) -> list[Image]:
    """The picture, the tiles or the frames as the model saw them; of patches in a row, the picture that was given."""
    from PIL import Image

    if modality == "audio":
        return []
    pixels = next((inputs[name] for name in _PIXELS[modality] if inputs.get(name) is not None), None)
    if pixels is not None and pixels.ndim >= 4:
        return [_picture(loaded, tile) for tile in pixels.reshape(-1, *pixels.shape[-3:])]
    if modality == "image":
        return list(media.pictures)
    steps = int(inputs["video_grid_thw"][0, 0])
    clip = media.clips[0]
    return [Image.fromarray(clip[step * len(clip) // steps]) for step in range(steps)]


def _site(plan: Plan, modality: str, site: str | None) -> str:
    acting = [p.site for p in plan.placements if _acts_on(p.site, p.modality, modality)]
    if not acting:
        raise BadInput(f"the plan has no placement that acts on {modality}; give the medium that it compresses.")
    if site is None:
        return max(acting, key=lambda text: Site.parse(text).depth)
    if site not in acting:
        raise BadInput(f"the plan has no placement for {modality} at {site}; its sites are {', '.join(acting)}.")
    return site


def _acts_on(site: str, named: tuple[str, ...] | None, modality: str) -> bool:
    head = site.split(".", 1)[0]
    return head == modality or (head == "decoder" and (named is None or modality in named))


def _picture(loaded: Loaded, pixels: torch.Tensor) -> Image:
    """Normalised pixels (3, height, width) as the picture that they were made from."""
    from PIL import Image

    processor = getattr(loaded.processor, "image_processor", None)
    mean = pixels.new_tensor(getattr(processor, "image_mean", None) or [0.5] * 3).float()
    spread = pixels.new_tensor(getattr(processor, "image_std", None) or [0.5] * 3).float()
    shown = pixels.float() * spread[:, None, None] + mean[:, None, None]
    levels = (shown.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu()
    return Image.fromarray(levels.numpy())
