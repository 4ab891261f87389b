"""`foveate report`: a plan as one page to look at, with nothing fetched from a network."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..common.errors import BadInput
from ..common.files import write_whole
from ..common.media import require_file
from .inputs import Media, read_media, request
from .models import EMBEDDED, TESTBED, Loaded, config_source, load_model, traced
from .options import AudioOption, DeviceOption, FramesOption, ImageOption, ModelOption, PlanArgument, VideoOption
from .output import say
from .validate import checked

if TYPE_CHECKING:
    from ..cost_models import CostModel
    from ..ir.plan import Plan
    from ..planner.report import Costed, Drawing

EXAMPLE = "foveate report plan.yaml --model testbed -o report.html"
_QUESTION = "what is shown"
_PICTURES, _QUESTIONS = 3, 18


def report(
    plan: PlanArgument,
    *,
    model: ModelOption = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="HTML", help="Where the page goes.")] = Path(
        "report.html"
    ),
    device: DeviceOption = None,
    study: Annotated[
        str | None,
        typer.Option("--study", metavar="STUDY", help="The search's study; default: the plan's.", show_default=False),
    ] = None,
    image: ImageOption = None,
    video: VideoOption = None,
    audio: AudioOption = None,
    prompt: Annotated[str, typer.Option("--prompt", metavar="TEXT", help="The question about the media.")] = _QUESTION,
    frames: FramesOption = 16,
) -> None:
    """Write a page about a plan: token flow, times, trials, conflicts, what is kept, and where the numbers come from.

    With --model the flow before compression is traced and, where there are weights, sample media are drawn.
    """
    from ..planner.report import report as page

    found = checked(plan)
    given = {"image": image, "video": video, "audio": audio}
    for name, path in given.items():
        require_file(path, {"image": "picture", "video": "clip", "audio": "sound"}[name])
    drawings, why = _drawings(found, model, given, prompt, frames)
    text = page(found, costed=_costed(found, model, device), study=study, drawings=drawings, without_drawings=why)
    write_whole(output, text)
    say(f"{output}: {len(text.encode()) / 2**20:.1f} MiB; open it in a browser, it needs no network.")


def _costed(plan: Plan, model: str | None, device: str | None) -> Costed | None:
    """The traced model and the cost model of the plan's device, as far as they are at hand."""
    from ..planner.report import Costed

    if model is None:
        return None
    return Costed(traced(model, str(plan.workload) if plan.workload else None), _cost(plan, device))


def _cost(plan: Plan, device: str | None) -> CostModel | None:
    """The cost model of `--device`, else of the plan's device where that comes with foveate."""
    from ..cost_models import CostModel, device_names, load_profile

    name = device or (plan.device.name if plan.device is not None else None)
    if name is None or (device is None and name not in device_names()):
        return None
    return CostModel(load_profile(name), dtype=plan.device.dtype if plan.device is not None else "float32")


def _drawings(
    plan: Plan, model: str | None, given: dict[str, Path | None], prompt: str, frames: int
) -> tuple[list[Drawing], str]:
    """What the plan keeps of the given media, of the embedded models' own samples where none is; else, why nothing."""
    wanted = any(given.values())
    if model is None:
        if wanted:
            raise BadInput("media are drawn as a model sees them; name it with --model.")
        return [], "No model was given, so nothing could be run to see what is kept; give --model."
    if not plan.placements:
        return [], "The plan compresses nothing, so everything is kept."
    if model not in EMBEDDED and not wanted:
        return [], "No picture, clip or sound was given to show what is kept; give --image, --video or --audio."
    if model not in EMBEDDED and not config_source(model).is_dir():
        raise BadInput(f"{model} has no weights here, so media cannot be drawn; name a checkpoint folder.")
    loaded = load_model(model)
    if not wanted:
        modality = "image" if model == TESTBED else "video"
        return [_drawn(loaded, plan, media, question, modality) for media, question in _samples(model)], ""
    drawings = []
    for modality, path in given.items():
        if path is not None:
            media = read_media(loaded, **{**dict.fromkeys(given), modality: path}, frames=frames)
            drawings.append(_drawn(loaded, plan, media, prompt, modality))
    return drawings, ""


def _samples(model: str) -> Iterator[tuple[Media, str]]:
    """Held-out pictures or clips of an embedded model, and a question about each."""
    if model == TESTBED:
        from ..testbed import samples

        asked = samples("heldout", _QUESTIONS)
        for picture in list({sample.scene_seed: sample for sample in asked}.values())[:_PICTURES]:
            yield Media([picture.image]), picture.question.text
        return
    from ..testbed.video import samples as clips

    for clip in clips("heldout", 1):
        yield Media(clips=[clip.frames]), clip.question.text


def _drawn(loaded: Loaded, plan: Plan, media: Media, question: str, modality: str) -> Drawing:
    from ..planner.report import Drawing
    from .kept_tokens import kept_tokens
    from .overlay import drawing_of

    inputs = request(loaded, media, question)
    where, layouts, kept = kept_tokens(loaded, plan, inputs, modality)
    buffer = io.BytesIO()
    drawing_of(loaded, media, inputs, modality, layouts, kept).save(buffer, format="PNG", optimize=True)
    total = sum(layout.count for layout in layouts)
    words = f"{sum(map(len, kept))} of {total} {modality} tokens remain after {where}; asked: {question}"
    return Drawing(buffer.getvalue(), words)
