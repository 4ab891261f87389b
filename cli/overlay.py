"""`foveate overlay`: which patches, frames or seconds a plan keeps, drawn on a picture, a clip or a sound."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..common.errors import BadInput
from ..common.media import Sound, require_file
from .inputs import Media, read_media, request
from .kept_tokens import kept_tokens, shown_pictures
from .models import Loaded, load_model
from .options import AudioOption, FramesOption, ImageOption, ModelArgument, VideoOption
from .output import say
from .own_methods import takes_methods
from .validate import checked

if TYPE_CHECKING:
    from PIL.Image import Image

    from ..ir.layout import Layout

EXAMPLE = "foveate overlay testbed --plan plan.yaml --image picture.png -o kept.png"


@takes_methods
def overlay(
    model: ModelArgument,
    *,
    plan: Annotated[Path, typer.Option("--plan", metavar="PLAN", help="A plan file (YAML).", show_default=False)],
    image: ImageOption = None,
    video: VideoOption = None,
    audio: AudioOption = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="PNG", help="Where the drawing goes.")] = Path(
        "kept.png"
    ),
    prompt: Annotated[
        str, typer.Option("--prompt", metavar="TEXT", help="The question, for passes that read it.")
    ] = "what is shown",
    site: Annotated[
        str | None,
        typer.Option("--site", metavar="SITE", help="After which placement; default: the last.", show_default=False),
    ] = None,
    frames: FramesOption = 16,
) -> None:
    """Draw which patches, frames or seconds a plan keeps."""
    given = {"image": image, "video": video, "audio": audio}
    modality = _only(given)
    require_file(given[modality], {"image": "picture", "video": "clip", "audio": "sound"}[modality])
    found = checked(plan)
    loaded = load_model(model)
    media = read_media(loaded, image=image, video=video, audio=audio, frames=frames)
    inputs = request(loaded, media, prompt)
    where, layouts, kept = kept_tokens(loaded, found, inputs, modality, site=site)
    drawing = drawing_of(loaded, media, inputs, modality, layouts, kept)
    drawing.save(output, format="PNG")
    total = sum(layout.count for layout in layouts)
    say(f"{output}: {sum(map(len, kept))} of {total} {modality} tokens remain after {where}.")


def drawing_of(
    loaded: Loaded, media: Media, inputs: dict[str, Any], modality: str, layouts: list[Layout], kept: list[list[int]]
) -> Image:
    """One medium, given as `media` and as the processor's `inputs`, with the tokens that are kept of it."""
    if modality == "audio":
        return _sound_drawn(loaded, media.sounds[0], layouts[0].count, kept[0])
    return _pictures_drawn(shown_pictures(loaded, media, inputs, modality), layouts, kept)


def _only(given: dict[str, Any]) -> str:
    """The one modality that is given.

    Raises:
        BadInput: none or several.
    """
    found = [name for name, path in given.items() if path is not None]
    if len(found) != 1:
        raise BadInput("there is one drawing for one medium; give --image, --video or --audio.")
    return found[0]


def _sound_drawn(loaded: Loaded, sound: Sound, tokens: int, kept: list[int]) -> Image:
    """The waveform; a model that takes one window pads the sound to it, and its tokens cover the padding too."""
    import numpy as np

    from ..runtime.overlay_sound import draw_sound

    samples = sound.samples
    if loaded.model.config.is_encoder_decoder:
        window = int(loaded.processor.feature_extractor.chunk_length) * sound.rate
        samples = np.pad(samples[:window], (0, max(0, window - len(samples))))
    return draw_sound(samples, len(samples) / sound.rate, tokens, kept)


def _pictures_drawn(pictures: list[Image], layouts: list[Layout], kept: list[list[int]]) -> Image:
    """One picture, or a sheet of frames or tiles."""
    from ..runtime.overlay import draw_kept
    from ..runtime.overlay_frames import by_frame, draw_frames

    times, rows, columns = _grid(layouts[0])
    if len(pictures) == 1:
        return draw_kept(pictures[0], (rows, columns), kept[0])
    each = by_frame(kept[0], times, rows * columns) if len(layouts) == 1 else kept
    return draw_frames(pictures, (rows, columns), each)


def _grid(layout: Layout) -> tuple[int, int, int]:
    if layout.grid is None:
        raise BadInput("the tokens of this model's picture lie on no single grid, so they cannot be drawn on it yet.")
    return layout.grid
